"""The commands of `dfl-tf`, one file each."""
