"""A script is split into statements as the mysql client does."""

import subprocess
from collections.abc import Iterator

import pytest

from utils.dev.servers import MariaDB, MySQL
from utils.mysql.script import BLANK, ScriptError, statements

SCRIPTS = {
    "": [],
    " \n\t": [],
    ";;\n; ;": [],
    "-- a\n# b\n/* c; */\n--d": [],
    "SELECT 1": ["SELECT 1"],
    "SELECT 1;;SELECT 2;\n;": ["SELECT 1", "SELECT 2"],
    "SELECT 1 ;\nSELECT 2 -- the last\n": ["SELECT 1", "SELECT 2 -- the last"],
    "SELECT ';', 'it''s;', 'a\\';b', '\\\\';SELECT 2": [
        "SELECT ';', 'it''s;', 'a\\';b', '\\\\'",
        "SELECT 2",
    ],
    'SELECT ";", "a"";b", "c\\";d", \';"\'; SELECT 2': [
        'SELECT ";", "a"";b", "c\\";d", \';"\'',
        "SELECT 2",
    ],
    "SELECT 1 AS `a;b`, 2 AS `c``;d`, 3 AS `\\`; SELECT 2": [
        "SELECT 1 AS `a;b`, 2 AS `c``;d`, 3 AS `\\`",
        "SELECT 2",
    ],
    "SELECT 1 -- it's;\n+ 1; SELECT 2 # \"; `\n+ 2": [
        "SELECT 1 -- it's;\n+ 1",
        'SELECT 2 # "; `\n+ 2',
    ],
    "SELECT 1--1;SELECT 2--\n;SELECT 3": ["SELECT 1--1", "SELECT 2--", "SELECT 3"],
    "--no space; here\nSELECT 1;--nor here\nSELECT 2": ["SELECT 1", "SELECT 2"],
    "SELECT /* ; ' -- */ 1; /* DELIMITER //\n*/ SELECT 2": [
        "SELECT /* ; ' -- */ 1",
        "SELECT 2",
    ],
    "/*!40101 SET @a = ';' */;/*!999999 SELECT 0 */;/*M!100100 SET @b = 1 */; SELECT 2": [
        "/*!40101 SET @a = ';' */",
        "/*!999999 SELECT 0 */",
        "/*M!100100 SET @b = 1 */",
        "SELECT 2",
    ],
    "SELECT 1 /*! + 1 */ + 1; SELECT /*+ MAX_EXECUTION_TIME(9) ; */ 2": [
        "SELECT 1 /*! + 1 */ + 1",
        "SELECT /*+ MAX_EXECUTION_TIME(9) ; */ 2",
    ],
    "DELIMITER //\nBEGIN NOT ATOMIC SELECT 1; SELECT 2; END//\ndelimiter ;\nSELECT 3;SELECT 4": [
        "BEGIN NOT ATOMIC SELECT 1; SELECT 2; END",
        "SELECT 3",
        "SELECT 4",
    ],
    "  DELIMITER\t$$ ignored\nSELECT '$$'$$\nDELIMITER ;;\nSELECT 1;\n;;\nDELIMITER ;\nSELECT 2;": [
        "SELECT '$$'",
        "SELECT 1",  # the server strips a `;` at the end
        "SELECT 2",
    ],
    "DELIMITER //\nSELECT 1//\nDELIMITER go\nSELECT 2\ngo\nSELECT 3": [
        "SELECT 1",
        "SELECT 2",
        "SELECT 3",
    ],
    "CREATE TABLE x (\n  delimiter INT,\n  b INT); SELECT 'a\nDELIMITER //\nb'; SELECT 2": [
        "CREATE TABLE x (\n  delimiter INT,\n  b INT)",
        "SELECT 'a\nDELIMITER //\nb'",
        "SELECT 2",
    ],
    "SELECT 'é;', \"ß;\", '\n;\n'; SELECT 2": ["SELECT 'é;', \"ß;\", '\n;\n'", "SELECT 2"],
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_is_split_into_statements(script: str) -> None:
    found = [statement.sql.rstrip("\n;") for statement in statements(script)]
    assert found == SCRIPTS[script]


CLIENT = "--no-defaults --comments --force --default-character-set=utf8mb4 -hlocalhost"
LOG = "SELECT argument FROM mysql.general_log WHERE command_type = 'Query' AND thread_id = {id}"


@pytest.fixture(scope="module")
def client(mariadb: MariaDB) -> Iterator[list[str]]:
    """The command of the mysql client, and a server that logs what it receives."""
    if isinstance(mariadb, MySQL):
        mariadb.run("SET GLOBAL log_raw = 1")  # also what it cannot parse
    mariadb.run("SET GLOBAL log_output = 'TABLE'", "SET GLOBAL general_log = 1")
    yield [mariadb.client, *CLIENT.split(), f"--socket={mariadb.socket}", f"--user={mariadb.user}"]
    mariadb.run("SET GLOBAL general_log = 0", "SET GLOBAL log_output = 'FILE'")


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_mysql_client_splits_a_script_in_the_same_way(
    mariadb: MariaDB, client: list[str], script: str
) -> None:
    """But for comments before a statement, blanks, and a `;` at the end, which the server drops."""
    if script.startswith("--no") and isinstance(mariadb, MySQL):
        pytest.skip("only MariaDB's client takes this for a comment")
    numbered = f"SELECT CONNECTION_ID();\n{script}"
    done = subprocess.run(client, input=numbered.encode(), capture_output=True)
    assert done.stdout, done
    number = done.stdout.split()[1].decode()
    received = [text(row["argument"]) for row in mariadb.run(LOG.format(id=number))]
    own = received.index("SELECT CONNECTION_ID()")  # MySQL's client asks something before
    sent = [squeeze(sql) for sql in received[own + 1 :]]
    assert list(filter(None, sent)) == list(map(squeeze, SCRIPTS[script]))


def text(argument: str | bytes) -> str:
    return argument.decode() if isinstance(argument, bytes) else argument


def squeeze(sql: str) -> str:
    return "".join(BLANK.sub("", sql, count=1).split())


def test_the_command_to_the_client_in_a_dump_of_mariadb_is_skipped() -> None:
    script = "/*M!999999\\- enable the sandbox mode */ \n-- a dump\n/*!40101 SET NAMES utf8mb4 */;"
    assert [statement.sql for statement in statements(script)] == ["/*!40101 SET NAMES utf8mb4 */"]


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("SELECT 1;\n\nSELECT 'open;\n", "line 3: ' is not closed"),
        ('SELECT 1;\nSELECT "a\\";', 'line 2: " is not closed'),
        ("SELECT `a", "line 1: ` is not closed"),
        ("SELECT 1;\nSELECT\n/* ;", "line 3: /* is not closed"),
        ("/* ;", "line 1: /* is not closed"),
    ],
)
def test_a_script_that_cannot_be_split_is_refused(script: str, message: str) -> None:
    with pytest.raises(ScriptError) as caught:
        list(statements(script))
    assert str(caught.value).startswith(message)


def test_a_statement_knows_its_number_and_line() -> None:
    script = "-- a\n\nSELECT 1; SELECT\n2;\n/* b\n*/ DELIMITER //\n\nSELECT ';'// ;\n\n//\nSELECT 3"
    assert [str(statement) for statement in statements(script)] == [
        "statement 1 (line 3)",
        "statement 2 (line 3)",
        "statement 3 (line 8)",
        "statement 4 (line 8)",
        "statement 5 (line 11)",
    ]


@pytest.mark.parametrize(
    ("sql", "can_roll_back"),
    [
        ("INSERT INTO a VALUES (1)", True),
        ("  (SELECT 1)", True),
        ("with x AS (SELECT 1) SELECT * FROM x", True),
        ("REPLACE INTO a VALUES ('CREATE TABLE')", True),
        ("/*!40101 SET NAMES utf8mb4 */", True),
        ("SET @a = 1, sql_mode = ''", True),
        ("CREATE TEMPORARY TABLE t (i INT)", True),
        ("SET autocommit = 0", False),
        ("SET GLOBAL max_connections = 10", False),
        ("SET @@global.max_connections = 10", False),
        ("SET @a = 1, PERSIST max_connections = 10", False),
        ("SET @@session.autocommit=1", False),
        ("SET PASSWORD = ''", False),
        ("SET STATEMENT max_statement_time = 1 FOR ALTER TABLE a ADD b INT", False),
        ("CREATE TABLE a (i INT)", False),
        ("/*!50001 CREATE ALGORITHM=UNDEFINED */ /*!50001 VIEW v AS SELECT 1 */", False),
        ("/*!40000 ALTER TABLE a DISABLE KEYS */", False),
        ("truncate a", False),
        ("LOCK TABLES a WRITE", False),
        ("START TRANSACTION", False),
        ("COMMIT", False),
        ("CALL p()", False),
        ("EXECUTE s", False),
        ("ANALYZE TABLE a", False),
        ("GRANT ALL ON *.* TO me", False),
        ("INSERTED", False),
    ],
)
def test_what_commits_is_known_before_it_runs(sql: str, can_roll_back: bool) -> None:
    (statement,) = statements(sql)
    assert statement.can_roll_back == can_roll_back
