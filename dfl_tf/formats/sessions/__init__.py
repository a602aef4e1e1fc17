"""What belongs to a job: where its folders are, and the merge sessions of the legacy program."""
