"""`sh run.sh dev` and the private servers; production never imports this."""
