"""The embedding room: a job and a range of items become a part's file, on threads, in processes, or on a cluster."""
