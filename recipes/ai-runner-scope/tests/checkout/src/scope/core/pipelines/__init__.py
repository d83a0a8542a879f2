"""The nodes' folders lie here."""
