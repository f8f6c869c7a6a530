"""What the tables and figures of docs/ are made by."""
