"""What a design can show, before anything is trained or ingested."""
