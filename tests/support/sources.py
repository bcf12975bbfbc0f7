"""Faults to put into a copy of the project."""

# A file, what is replaced by what, and the word that the message has to have.
BROKEN = [
    ("api.py", "import random", "import random, nowhere_to_be_found", "nowhere_to_be_found"),
    ("server.py", "class Server(", "class Server((", "SyntaxError"),
    ("gunicorn_conf.py", "import sys", "import sys\n1 / 0", "ZeroDivisionError"),
    (
        "server.py",
        "g_server =",
        '@expose("/test")\ndef test() -> None: ...\n\n\ng_server =',
        "is taken by",
    ),
]
