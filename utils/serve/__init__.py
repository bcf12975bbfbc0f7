"""How bytes reach `g_app`, and how the processes live and die: gunicorn's master and workers."""
