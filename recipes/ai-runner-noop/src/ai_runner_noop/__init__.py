"""The pipeline that changes nothing."""
