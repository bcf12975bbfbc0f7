"""How bytes reach `g_app`, and how the processes live and die: gunicorn's master and workers.

A request comes in by `worker` (accepts), `connection` (one client), `parser` (one request) and
`refusal` (what is no request). gunicorn_conf.py uses `address` and `arbiter` and names classes of
`worker` and `logger`; run.sh runs `state`, which has to be quick: so nothing is imported here.
"""
