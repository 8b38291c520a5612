"""What STAMP's packets say: the delay of each way, how it varies, and which way packets were lost."""
