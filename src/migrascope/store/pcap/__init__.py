"""Packet captures: pcap and pcapng read as columns, pcapng written."""
