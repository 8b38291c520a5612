"""What brings disturbances about on links and beside a host, in every lab whose links and nodes are ours."""
