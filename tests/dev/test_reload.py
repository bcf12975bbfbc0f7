"""`sh run.sh dev`: every save is served, and what does not load is shown."""

from collections.abc import Callable

from tests.support.dev import Dev
from tests.support.service import Service, wait_until


def result(service: Service) -> int | None:
    try:
        return int(service.request()[1]["data"]["result"])
    except OSError:
        return None


def test_a_save_is_served(service: Service, dev: Dev) -> None:
    service.edit("api.py", "random.choice((-1, 0, 1))", "77")
    dev.await_line("pyserver has reloaded")
    assert result(service) == 77


def test_a_save_that_does_not_load_is_shown_and_what_ran_goes_on(
    service: Service, dev: Dev
) -> None:
    before = service.request()[1]["data"].keys()
    service.edit("api.py", "class TestApi", "class TestApi(")
    dev.await_line("SyntaxError")
    assert service.request()[1]["data"].keys() == before
    service.edit("api.py", "class TestApi(", "class TestApi")
    dev.await_line("pyserver has reloaded")


def test_a_save_repairs_a_start_that_failed(service: Service, make_dev: Callable[[], Dev]) -> None:
    service.edit("server.py", "class Server", "class class Server")
    dev = make_dev()
    dev.await_line("SyntaxError")
    dev.await_line("the service does not run; the next save starts it again")
    service.edit("server.py", "class class Server", "class Server")
    dev.await_line("pyserver is up")
    wait_until(lambda: result(service) is not None)


def test_a_wrong_setting_is_shown_until_it_is_right(
    service: Service, make_dev: Callable[[], Dev]
) -> None:
    env_file = service.root / ".env"
    env_file.write_text("KEEPALIVE=many\n")
    dev = make_dev()
    dev.await_line("KEEPALIVE in .env: expected an integer")
    env_file.write_text("")
    dev.await_line("pyserver is up")


def test_an_unreadable_env_file_is_shown_until_it_is_right(
    service: Service, make_dev: Callable[[], Dev]
) -> None:
    env_file = service.root / ".env"
    env_file.write_bytes(b"MYSQL_PASSWORD=p\xe4ss\n")
    dev = make_dev()
    dev.await_line("expected a readable file in UTF-8")
    env_file.write_text("")
    dev.await_line("pyserver is up")
    assert "Traceback" not in dev.printed()


def test_a_new_migration_is_applied(service: Service, dev: Dev) -> None:
    (service.root / "conf/migrations/9000_create_b.sql").write_text("CREATE TABLE b (i INT)")
    dev.await_line("applied 9000_create_b.sql")
