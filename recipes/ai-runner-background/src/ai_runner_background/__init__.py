"""The person and the room behind, each as you want it: painted, blurred or replaced."""
