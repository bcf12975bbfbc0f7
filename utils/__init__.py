"""What every service needs: errors, logs, envelopes, and the HTTP layer's own answers."""
