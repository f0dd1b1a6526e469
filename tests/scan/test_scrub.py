"""What becomes of command lines: secrets as people really give them to programs, and what only looks like one."""

from functools import partial

import pytest

from nsagent.model.process import CommandLine
from nsagent.scan.scrub import scrub, scrub_variable
from tests.cpu_time import cpu_seconds

S = "hUnTer2-\u00e4/x"
"""A password; what is no letter stays within a word."""

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----"

SECRETS = {
    "an option with =": (["app", f"--password={S};a&b c", "-v"], ["app", "--password=***", "-v"]),
    "an option and its argument": (["app", "--db-password", S, "-v"], ["app", "--db-password", "***", "-v"]),
    "one dash": (["influx", "-password", S], ["influx", "-password", "***"]),
    "an argument that begins like an option": (["app", "--token", f"-{S}"], ["app", "--token", "***"]),
    "a property": (["java", f"-Dspring.datasource.password={S}"], ["java", "-Dspring.datasource.password=***"]),
    "camel case": (["app", f"--clientSecret={S}", f"dbPass={S}"], ["app", "--clientSecret=***", "dbPass=***"]),
    "keys": (
        ["app", f"--api-key={S}", f"secretAccessKey={S}", "--access-key", S, f"ACCOUNT_KEY={S}"],
        ["app", "--api-key=***", "secretAccessKey=***", "--access-key", "***", "ACCOUNT_KEY=***"],
    ),
    "a variable": (["env", f"PGPASSWORD={S} {S}", "psql"], ["env", "PGPASSWORD=***", "psql"]),
    "a variable of a container": (
        ["docker", "run", "-e", f"MYSQL_PWD={S}", "db"],
        ["docker", "run", "-e", "MYSQL_PWD=***", "db"],
    ),
    "mysql": (["mysql", "-uroot", f"-p{S}", "shop"], ["mysql", "-uroot", "-p***", "shop"]),
    "mysql behind others": (
        ["sudo", "/usr/bin/mysqldump", f"-p{S}", "shop"],
        ["sudo", "/usr/bin/mysqldump", "-p***", "shop"],
    ),
    "sshpass": (["sshpass", "-p", S, "ssh", "-p", "22", "db"], ["sshpass", "-p", "***", "ssh", "-p", "22", "db"]),
    "docker login": (["docker", "login", "-u", "bob", "-p", S], ["docker", "login", "-u", "bob", "-p", "***"]),
    "redis": (["redis-cli", "-a", S, "ping"], ["redis-cli", "-a", "***", "ping"]),
    "curl": (["curl", "-u", f"bob:{S}", f"-Ubob:{S}", "x"], ["curl", "-u", "bob:***", "-Ubob:***", "x"]),
    "smbclient": (["smbclient", "-U", f"bob%{S}", "//db/x"], ["smbclient", "-U", "bob%***", "//db/x"]),
    "openssl": (["openssl", "rsa", "-passin", f"pass:{S}"], ["openssl", "rsa", "-passin", "***"]),
    "a header": (
        ["curl", "-H", f"Authorization: Bearer {S}", f"-HX-Api-Key: {S}", f"Cookie: a={S}; b={S}"],
        ["curl", "-H", "Authorization: ***", "-HX-Api-Key: ***", "Cookie: ***"],
    ),
    "a header that lost its quotes": (
        ["curl", "-H", "Authorization:", "Bearer", S, "x"],
        ["curl", "-H", "Authorization:", "Bearer", "***", "x"],
    ),
    "a URL": (
        ["app", "postgres://bob:hUnTer2@db/shop?sslmode=off", f"redis://:{S}@db:1/0", f"amqp://bob:{S}@db"],
        ["app", "postgres://bob:***@db/shop?sslmode=off", "redis://:***@db:1/0", "amqp://bob:***@db"],
    ),
    "a query": (["curl", f"https://a/b?token={S}&page=2"], ["curl", "https://a/b?token=***&page=2"]),
    "connection strings": (
        ["app", f"Server=db;User=sa;Password={S} {S};Timeout=3", f"host=db password={S} dbname=shop"],
        ["app", "Server=db;User=sa;Password=***;Timeout=3", "host=db password=*** dbname=shop"],
    ),
    "JSON": (["app", f'{{"user": "bob", "password":"{S}","n":1}}'], ["app", '{"user": "bob", "password":***']),
    "JSON in JSON": (["app", f'"{{\\"token\\":\\"{S}\\"}}"'], ["app", '"{\\"token\\":***}"']),
    "a shell": (
        ["sh", "-c", f"PGPASSWORD={S} psql -h db 'a b' && mysql -p{S} -u root"],
        ["sh", "-c", "PGPASSWORD=*** psql -h db 'a b' && mysql -p*** -u root"],
    ),
    "a shell that quotes": (
        ["bash", "-lc", f"curl -H 'Authorization: Bearer {S}' a; app --password '{S} x' b"],
        ["bash", "-lc", "curl -H 'Authorization: *** a; app --password *** b"],
    ),
    "a command for another host": (["ssh", "db", f"mysql -p{S} shop"], ["ssh", "db", "mysql -p*** shop"]),
    "a title": ([f"redis-server --requirepass {S} --port 1"], ["redis-server --requirepass *** --port 1"]),
    "known forms": (
        ["app", "AKIAIOSFODNN7EXAMPLE", "ghp_16C7e42F292c6912E7710c838347Ae178B4a", "xoxb-123456789012-abcdefGHIJ"],
        ["app", "***", "***", "***"],
    ),
    "known forms in text": (["app", f"x={JWT},{PEM},y", f"--a={JWT[:40]}"], ["app", "x=***,***,y", "--a=***"]),
    "a URL with a token": (
        ["git", "clone", "https://ghp_16C7e42F292c6912E7710c838347Ae178B4a@github.com/a/b"],
        ["git", "clone", "https://***@github.com/a/b"],
    ),
    "a webhook": (
        ["curl", "https://hooks.slack.com/services/T0/B0/hUnTer2"],
        ["curl", "https://hooks.slack.com/services/***"],
    ),
    "a private key that is cut": (["app", PEM[:40]], ["app", "***"]),
    "JSON that is cut": (["app", '{"user": "bob", "password": "hUnTer2'], ["app", '{"user": "bob", "password": ***']),
}

INNOCENT = [
    ["nginx: master process /usr/sbin/nginx -g daemon off;"],
    ["postgres: shop bob 10.0.0.1(5432) idle in transaction"],
    ["kube-apiserver", "--authorization-mode=Node,RBAC", "--service-account-key-file=/etc/sa.pub", "--token-ttl=24h"],
    ["kubelet", "--bootstrap-kubeconfig=/x", "--tls-private-key-file=/k", "--kubeconfig", "/etc/k.conf"],
    ["app", "--password-file=/run/pw", "--max-tokens", "500", "--bypass=1", "--compass", "n", "--secret-name", "db"],
    ["env", "PWD=/home/bob", "OLDPWD=/", "HOME=/root", "sh"],
    ["docker", "run", "-p", "8080:80", "-u", "1000:1000", "shop/web:1.2"],
    ["docker-proxy", "-proto", "tcp", "-host-ip", "0.0.0.0", "-host-port", "80"],
    ["mysql", "-p", "shop"],
    ["app", "--password", "--verbose"],
    ["ssh", "-p", "2222", "git@github.com", "uptime"],
    ["curl", "http://db:8080/a@b", "http://[::1]:80/x", "https://bob@db/", "-u", "bob"],
    ["app", "it's no secret that a token passes", "", "a  b", "\udcff\x1b", "registry/secret:1.2"],
    ["sh", "-c", "while true; do echo 'it is' \"x y\"; sleep 1; done"],
    ["java", "-Xmx1g", "-cp", "/a.jar:/b.jar", "-Dkey.size=2048", "org.x.Main"],
    [],
]


@pytest.mark.parametrize(("argv", "left"), SECRETS.values(), ids=SECRETS)
def test_a_secret_is_not_told_and_the_rest_is(argv: list[str], left: list[str]) -> None:
    assert list(scrub(CommandLine(tuple(argv))).argv) == left


@pytest.mark.parametrize("argv", [argv for argv, _ in SECRETS.values()], ids=SECRETS)
def test_a_command_line_that_is_one_text_tells_no_secret_either(argv: list[str]) -> None:
    """As setproctitle(3) and `sh -c` make one: where words end is less clear, so more may be hidden."""
    if all(" " not in each for each in argv):
        assert "unTer2" not in scrub(CommandLine((" ".join(argv),))).argv[0]


@pytest.mark.parametrize("argv", INNOCENT, ids=lambda argv: " ".join(argv)[:20])
def test_what_is_no_secret_stays(argv: list[str]) -> None:
    assert scrub(CommandLine(tuple(argv), cut=True)) == (tuple(argv), True)


HOSTILE = [
    "a-",
    "password",
    "pass=",
    "'",
    '"',
    "a b=",
    "token ",
    "x://a:",
    "x://",
    "eyJ",
    'password=\\"',
    " ",
    "=:",
    "@",
]
HOSTILE += ["password= ", "-----BEGIN PRIVATE KEY-----", "a.b-", "password   ", "bearer ", "x://a:1@", '"password": "']


@pytest.mark.parametrize("part", HOSTILE)
def test_no_text_takes_long(part: str) -> None:
    """Of four times the bytes that are read: with all of it looked at again from each place it were seconds."""
    text = part * ((1 << 14) // len(part))
    for argv in ((text,), ("x", text), tuple(text.split(" "))):
        assert cpu_seconds(partial(scrub, CommandLine(argv))) < 1.0


@pytest.mark.parametrize(
    ("variable", "told"),
    [
        ("DB_PASSWORD=a b c", "DB_PASSWORD=***"),
        ("SECRET_KEY_BASE=x", "SECRET_KEY_BASE=***"),
        ("URL=postgres://u:hunter2@h/db", "URL=postgres://u:***@h/db"),
        ("OPTS=--password hunter2 --verbose", "OPTS=--password *** --verbose"),
        ("GIVEN=ghp_0123456789abcdef0123", "GIVEN=***"),
        ("PWD=/srv/keys", "PWD=/srv/keys"),
        ("SSH_AUTH_SOCK=/tmp/agent", "SSH_AUTH_SOCK=/tmp/agent"),
        ("TOKEN=", "TOKEN="),
        ("PATH=/bin", "PATH=/bin"),
        ("no variable", "no variable"),
    ],
)
def test_a_variable_is_told_without_what_may_be_a_secret(variable: str, told: str) -> None:
    assert scrub_variable(variable) == told
