"""One command a job."""
