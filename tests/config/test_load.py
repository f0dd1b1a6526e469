"""YAML text to Config: what it holds, and what is said of what it cannot hold."""

from ipaddress import ip_address

import pytest

from nsagent.config.load import MAX_PROBLEMS, Checks
from nsagent.config.model import (
    Config,
    FileOutput,
    History,
    Http,
    HttpOutput,
    Limits,
    Report,
    Select,
    Spool,
    StdoutOutput,
    TextfileOutput,
)
from nsagent.config.texts import Listen, parse_listen
from nsagent.errors import EXIT_USAGE, ConfigError, UsageError
from nsagent.model.choices import EngineName, OutputFormat, View
from nsagent.model.ids import Pid
from nsagent.model.net import Protocol, SocketState
from nsagent.query.expression import Between, Number
from nsagent.query.filter import Filter, parse_networks
from nsagent.query.labels import parse_labels
from tests.config.rows import REPORT, config_of, problems_of, report_problems

WHOLE = """\
version: 1
interval: 10s
limits: {cpu: 5%, memory: 256MiB}
engine: proc
runtime: none
log: json
socket: null
http: {listen: "[::1]:9469", token_file: /t}
history: {path: /var/lib/nsagent/h.sqlite, max_age: 2d, max_size: 1GiB}
reports:
  - name: all
    cron: 0 3 * * *
    timezone: Europe/Berlin
    jitter: 250ms
    select: {container: [web, db], port: 443, state: [listen], listening: true, accept_queue_above: 80%}
    view: top
    group_by: [pod, container]
    columns: [pod]
    sort_by: [-pod]
    limit: 3
    format: csv
    labels: true
    outputs:
      - {type: file, path: /a, max_size: 64MiB, keep: 2}
      - {type: stdout}
      - {type: textfile, path: /b.prom}
      - {type: http, url: "https://h/p", token_file: /t, ca_file: /c, timeout: 1s, spool: {path: /s, max_size: 1KiB}}
"""


def test_every_key_becomes_the_field_of_its_name() -> None:
    report = Report.model_construct(
        name="all",
        every=None,
        cron="0 3 * * *",
        timezone="Europe/Berlin",
        jitter=0.25,
        select=Select.model_construct(
            container=("web", "db"),
            port=("443",),
            state=("listen",),
            listening=True,
            accept_queue_above=0.8,
        ),
        view=View.TOP,
        group_by=("pod", "container"),
        columns=("pod",),
        sort_by=("-pod",),
        limit=3,
        format=OutputFormat.CSV,
        diff=False,
        labels=True,
        outputs=(
            FileOutput(type="file", path="/a").model_copy(update={"max_size": 64 << 20, "keep": 2}),
            StdoutOutput(type="stdout"),
            TextfileOutput(type="textfile", path="/b.prom"),
            HttpOutput.model_construct(
                type="http",
                url="https://h/p",
                token_file="/t",  # noqa: S106 -- a path.
                ca_file="/c",
                timeout=1.0,
                spool=Spool.model_construct(path="/s", max_size=1024),
            ),
        ),
    )
    assert config_of(WHOLE) == Config.model_construct(
        version=1,
        interval=10.0,
        limits=Limits.model_construct(cpu=0.05, memory=256 << 20),
        engine=EngineName.PROC,
        runtime="none",
        reports=(report,),
        http=Http(listen="[::1]:9469", token_file="/t"),  # noqa: S106 -- a path.
        history=History.model_construct(path="/var/lib/nsagent/h.sqlite", max_age=172800.0, max_size=1 << 30),
        socket=None,
        log="json",
    )


def test_a_version_is_a_config() -> None:
    config = config_of("version: 1")
    assert config == Config(version=1)
    assert (config.interval, config.reports, config.socket) == (30.0, (), "/run/nsagent/agent.sock")


def test_select_makes_the_filter_that_the_options_of_scan_make() -> None:
    text = (
        "    select:\n"
        "      {container: 'a,b', pod: p, kube_namespace: [n], label: 'x=1,!y', netns: [4026532500, host], pid: 1,\n"
        "       port: [80, 443], protocol: TCP, state: time-wait, listening: true, ownerless: true,\n"
        "       local: [10.0.0.1, '::1'], remote: 10.0.0.0/8, filter: 'sport < 1024', accept_queue_above: 80%}\n"
    )
    assert config_of(REPORT + text).reports[0].select.make_filter() == Filter(
        containers=("a", "b"),
        pods=("p",),
        kube_namespaces=("n",),
        labels=parse_labels(["x=1,!y"]),
        netns=("4026532500", "host"),
        pids=(Pid(1),),
        ports=frozenset((80, 443)),
        protocols=frozenset((Protocol.TCP,)),
        states=frozenset((SocketState.TIME_WAIT,)),
        local=parse_networks(["10.0.0.1", "::1"], "--local"),
        remote=parse_networks(["10.0.0.0/8"], "--remote"),
        listening=True,
        ownerless=True,
        accept_queue_above=0.8,
        expression=Between(Number.LOCAL_PORT, 0, 1023),
    )


def test_a_select_of_nothing_filters_nothing() -> None:
    assert Select().make_filter() == Filter()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("version: 2", ["F:1:10: version: expected 1"]),
        ("version: true", ["F:1:10: version: expected a whole number"]),
        ("interval: 1m", ["F:1:1: version: is missing"]),
        ("version: 1\nintervall: 1m", ["F:2:1: intervall: unknown key; did you mean interval?"]),
        (
            "version: 1\nxyz: 1",
            ["F:2:1: xyz: unknown key; expected version, interval, limits, engine, runtime, reports, http, history, "],
        ),
        ('version: 1\n"a\\nb": 1', [r'F:2:1: "a\nb": unknown key; expected version']),
        ("version: 1\nreports:", ["F:2:9: reports: expected a list"]),
        ("version: 1\nreports: [a]", ["F:2:11: reports[0]: expected keys and values"]),
        ("version: 1\nlimits: 5%", ["F:2:9: limits: expected keys and values"]),
        ("version: 1\nlimits: {cpu: 0%}", ["F:2:15: limits.cpu: expected more than 0%"]),
        ("version: 1\nlimits: {memory: 0B}", ["F:2:18: limits.memory: expected more than 0"]),
        ("version: 1\ninterval: 30", ["F:2:11: interval: expected a duration like 250ms, 30s, 5m, 1h or 7d"]),
        ("version: 1\ninterval: 900ms", ["F:2:11: interval: expected at least 1s"]),
        ("version: 1\nengine: prok", ["F:2:9: engine: expected one of auto, sock_diag, proc; did you mean proc?"]),
        ("version: 1\nlog: xml", ["F:2:6: log: expected one of line, json"]),
        ("version: 1\nsocket: run/s", ["F:2:9: socket: expected an absolute path"]),
        ("version: 1\nsocket: /run/", ["F:2:9: socket: expected the path of a file"]),
        (
            "version: 1\nhistory: {max_age: 0s}",
            ["F:2:10: history.path: is missing", "F:2:20: history.max_age: expected"],
        ),
        ("version: 1\nhttp: {listen: localhost:1}", ["F:2:16: http.listen: expected ADDRESS:PORT like 127.0.0.1:9469"]),
    ],
)
def test_what_is_wrong_is_told_with_its_place_and_what_was_expected(text: str, expected: list[str]) -> None:
    problems = problems_of(text)
    assert [got[: len(wanted)] for got, wanted in zip(problems, expected, strict=True)] == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("cron: '* * * * *'", "F:5:11: reports[0].cron: expected either every or cron, not both"),
        ("timezone: UTC", "F:5:15: reports[0].timezone: expected beside cron only"),
        ("jitter: 60s", "F:5:13: reports[0].jitter: expected less than every, 1m"),
        (
            "view: incidents",
            "F:5:11: reports[0].view: expected one of sockets, listeners, connections, containers, netns",
        ),
        ("view: top", "F:3:5: reports[0]: view top needs group_by: the columns to count by"),
        ("limit: 3", "F:5:12: reports[0].limit: expected with view top only"),
        (
            "format: jsn",
            "F:5:13: reports[0].format: expected one of table, wide, json, jsonl, yaml, csv, markdown, html",
        ),
        ("columns: pid", "F:5:14: reports[0].columns: expected a list"),
        (
            "columns: [1]",
            "F:5:15: reports[0].columns[0]: expected text: a number, true, false or null is text in quotes",
        ),
        ("diff: yes", "F:5:11: reports[0].diff: expected true or false"),
        ("diff: 1", "F:5:11: reports[0].diff: expected true or false"),
        ("cmdline: all", "F:5:14: reports[0].cmdline: expected one of none, argv0, full"),
        ("cmdline: full\n    view: netns", "F:5:14: reports[0].cmdline: expected with rows that are sockets only"),
        ("cmdline: argv0\n    diff: true", "F:5:14: reports[0].cmdline: expected with rows that are sockets only"),
        (
            "format: csv\n    sort_by: [-argv]",
            "F:3:5: reports[0]: column argv needs cmdline: argv0 or full",
        ),
        (
            "select: {filter: 'sport < 1 and'}",
            "F:5:22: reports[0].select.filter: character 14: expected a condition like sport = :443; got the end",
        ),
        (
            "select: {filter: 'sport = :ssh'}",
            "F:5:22: reports[0].select.filter: character 9: expected a port from 0 to 65535, got 'ssh': services",
        ),
        ("select: {filter: 443}", "F:5:22: reports[0].select.filter: expected text"),
        ("select: {remote: '10.0.0.0/33'}", "F:5:22: reports[0].select.remote: expected a prefix length from 0 to 32"),
        ("select: {port: http}", "F:5:20: reports[0].select.port: expected a number from 0 to 65535, got 'http'"),
        ("select: {port: [1, 1.5]}", "F:5:24: reports[0].select.port[1]: expected text: a number"),
        ("select: {port: [1, 70000]}", "F:5:24: reports[0].select.port[1]: expected a number from 0 to 65535"),
        ("select: {pid: x}", "F:5:19: reports[0].select.pid: expected a number"),
        ("select: {protocol: tpc}", "F:5:24: reports[0].select.protocol: expected one of tcp, udp"),
        ("select: {state: listne}", "F:5:21: reports[0].select.state: expected one of established"),
        ("select: {label: '!a=b'}", "F:5:21: reports[0].select.label: expected KEY=VALUE, KEY!=VALUE, KEY or !KEY"),
        ("select: {container: ''}", "F:5:25: reports[0].select.container: expected a value, got ''"),
        ("select: {container: {a: 1}}", "F:5:25: reports[0].select.container: expected text"),
        ("select: {listening: no}", "F:5:25: reports[0].select.listening: expected true or false"),
        ("select: {accept_queue_above: 0.8}", "F:5:34: reports[0].select.accept_queue_above: expected a share like 5%"),
        ("outputs: []", "F:5:14: reports[0].outputs: expected at least one"),
        ("outputs: [stdout]", "F:5:15: reports[0].outputs[0]: expected keys and values"),
        ("outputs: [{path: /a}]", "F:5:15: reports[0].outputs[0].type: is missing: expected one of file, stdout"),
        (
            "outputs: [{type: fil}]",
            "F:5:22: reports[0].outputs[0].type: expected one of file, stdout, textfile, http; did",
        ),
        ("outputs: [{type: file}]", "F:5:15: reports[0].outputs[0].path: is missing"),
        ("outputs: [{type: file, file: /a}]", "F:5:15: reports[0].outputs[0].path: is missing"),
        ("outputs: [{type: file, path: a}]", "F:5:34: reports[0].outputs[0].path: expected an absolute path"),
        ("outputs: [{type: file, path: '/a\\0'}]", ""),
        ('outputs: [{type: file, path: "/a\\0"}]', "F:5:34: reports[0].outputs[0].path: expected an absolute path"),
        ("outputs: [{type: file, path: /a, keep: 0}]", "F:5:44: reports[0].outputs[0].keep: expected a whole number"),
        ("outputs: [{type: file, path: /a, keep: 1.5}]", "F:5:44: reports[0].outputs[0].keep: expected a whole number"),
        (
            "outputs: [{type: textfile, path: /a}]",
            "F:5:38: reports[0].outputs[0].path: expected a path that ends with .p",
        ),
        (
            "outputs: [{type: http, url: 'ftp://h/'}]",
            "F:5:33: reports[0].outputs[0].url: expected a URL like https://h",
        ),
        ("outputs: [{type: http, url: 'http://'}]", "F:5:33: reports[0].outputs[0].url: expected a URL like https://h"),
        (
            "outputs: [{type: http, url: 'http://h:x/'}]",
            "F:5:33: reports[0].outputs[0].url: expected a URL like https:",
        ),
        (
            "outputs: [{type: http, url: 'http://[::1/'}]",
            "F:5:33: reports[0].outputs[0].url: expected a URL like https",
        ),
        (
            "outputs: [{type: http, url: 'https://reports\u2013eu.example/'}]",
            "F:5:33: reports[0].outputs[0].url: expected a URL like https",
        ),
        (
            "view: containers\n    select: {container: a, port: 443}",
            "F:5:11: reports[0].view: containers are selected by container, pod, kube_namespace, label, not by port",
        ),
        ("outputs: [{type: http, url: 'https://a%zz/'}]", "F:5:33: reports[0].outputs[0].url: expected a URL like ht"),
        (
            "outputs: [{type: http, url: 'http://h/ x'}]",
            "F:5:33: reports[0].outputs[0].url: expected a URL like https:",
        ),
        (
            "outputs: [{type: http, url: 'http://u:p@h/'}]",
            "F:5:33: reports[0].outputs[0].url: expected a URL without cre",
        ),
        (
            "outputs: [{type: http, url: 'http://u@h/'}]",
            "F:5:33: reports[0].outputs[0].url: expected a URL without cre",
        ),
        (
            "outputs: [{type: http, url: 'http://h/', timeout: 0s}]",
            "F:5:55: reports[0].outputs[0].timeout: expected more",
        ),
    ],
)
def test_what_is_wrong_with_a_report_is_told_with_its_place(line: str, expected: str) -> None:
    problems = report_problems(line)
    assert (problems or [""])[0][: len(expected)] == expected
    assert len(problems) <= 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  - name: a\n", ["F:3:5: reports[0]: expected either every or cron"]),
        ("  - every: 1m\n", ["F:3:5: reports[0].name: is missing"]),
        ("  - {name: A b, every: 1m}\n", ["F:3:12: reports[0].name: expected lower-case letters, digits, - and _"]),
        ("  - {name: 1, every: 1m}\n", ["F:3:12: reports[0].name: expected text: a number, true, false or null is"]),
        ("  - {name: a, every: 999ms}\n", ["F:3:22: reports[0].every: expected at least 1s"]),
        ("  - {name: a, every: 4000d}\n", ["F:3:22: reports[0].every: expected no more than 3650d"]),
        ("  - {name: a, cron: '* *'}\n", ["F:3:21: reports[0].cron: expected times as cron takes them"]),
        ("  - {name: a, cron: '0 0 31 2 *'}\n", ["F:3:21: reports[0].cron: expected times as cron takes them"]),
        ("  - {name: a, cron: '* * * * *', timezone: Mars}\n", ["F:3:44: reports[0].timezone: expected a time zone"]),
        ("  - {name: a, cron: '* * * * *', timezone: ../x}\n", ["F:3:44: reports[0].timezone: expected a time zone"]),
        ("  - {name: a, cron: '* * * * *', timezone: Europe}\n", ["F:3:44: reports[0].timezone: expected a time zone"]),
        (
            "  - {name: a, every: 1m}\n  - {name: a, every: 1m}\n",
            ["F:4:12: reports[1].name: is the name of reports[0]"],
        ),
    ],
)
def test_what_is_wrong_with_when_a_report_is_made_is_told(text: str, expected: list[str]) -> None:
    problems = problems_of(f"version: 1\nreports:\n{text}")
    assert [got[: len(wanted)] for got, wanted in zip(problems, expected, strict=True)] == expected


def test_all_that_is_wrong_is_told_at_once_in_the_order_of_the_file() -> None:
    text = (
        "intervall: 1m\nreports:\n"
        "  - {name: a, view: topp, select: {port: x, stat: y}, outputs: [{type: file, path: x}, {type: htp}]}\n"
        "  - {name: a, every: 1s, outputs: [{type: file, path: /x, keep: '${KEEP}'}]}\n"
        "version: 3\nversion: 1\n"
    )
    assert [problem.partition(": ")[2].partition(":")[0] for problem in problems_of(text)] == [
        "intervall",
        "reports[0]",
        "reports[0].view",
        "reports[0].select.port",
        "reports[0].select.stat",
        "reports[0].outputs[0].path",
        "reports[0].outputs[1].type",
        "reports[1].name",
        "reports[1].outputs[0].keep",
        "version",
        "version",
    ]


def test_a_config_with_a_problem_ends_with_the_status_of_a_wrong_usage() -> None:
    with pytest.raises(ConfigError) as caught:
        config_of("version: 2")
    assert caught.value.exit_status == EXIT_USAGE


def test_more_problems_than_anybody_reads_are_counted() -> None:
    problems = problems_of("version: 1\n" + "".join(f"key{index}: 1\n" for index in range(MAX_PROBLEMS + 50)))
    assert len(problems) == MAX_PROBLEMS + 1
    assert problems[-1] == "F:102:1: and 50 problems more"


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("{type: file, path: /a}", "{type: file, path: //a/.}", "F:5:58: reports[0].outputs[1].path"),
        ("{type: file, path: /a}", "{type: file, path: /b/../a}", "F:5:58: reports[0].outputs[1].path"),
        ("{type: file, path: /a.prom}", "{type: textfile, path: /a.prom}", "F:5:67: reports[0].outputs[1].path"),
        (
            "{type: file, path: /a}",
            "{type: http, url: 'http://h', spool: {path: /a}}",
            "F:5:83: reports[0].outputs[1].spool.path",
        ),
        ("{type: file, path: /a}", "{type: file, path: /b}", ""),
        ("{type: stdout}", "{type: stdout}", ""),
    ],
)
def test_two_outputs_never_write_one_file(one: str, other: str, expected: str) -> None:
    problems = report_problems(f"outputs: [{one}, {other}]")
    assert problems == ([f"{expected}: is written by reports[0].outputs[0] too"] if expected else [])


def test_no_output_writes_where_the_history_or_the_socket_is() -> None:
    text = (
        REPORT
        + "    outputs: [{type: file, path: /h}, {type: file, path: /run/nsagent/agent.sock}]\nhistory: {path: /h}\n"
    )
    assert problems_of(text + "socket: /run/nsagent/agent.sock\n") == [
        "F:6:17: history.path: is written by reports[0].outputs[0] too",
        "F:7:9: socket: is written by reports[0].outputs[1] too",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:9469", Listen(ip_address("127.0.0.1"), 9469)),
        ("[::1]:0", Listen(ip_address("::1"), 0)),
        ("[::]:65535", Listen(ip_address("::"), 65535)),
        ("[10.1.2.3]:9469", Listen(ip_address("10.1.2.3"), 9469)),
    ],
)
def test_an_address_to_listen_on_is_one_of_ip_and_a_port(text: str, expected: Listen) -> None:
    assert parse_listen(text) == expected


@pytest.mark.parametrize(
    "text", ["", ":1", "1", "::1:80", "[127.0.0.1:1", "[h]:1", "127.0.0.1:65536", "127.0.0.1:+1", "h:1", "*:1"]
)
def test_anything_else_is_no_address_to_listen_on(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected ADDRESS:PORT"):
        parse_listen(text)


@pytest.mark.parametrize(
    ("listen", "token", "pod_ip", "right"),
    [
        ("127.0.0.1:1", "", None, True),
        ("127.8.9.1:1", "", None, True),
        ("[::1]:1", "", None, True),
        ("[::ffff:127.0.0.1]:1", "", None, True),
        ("0.0.0.0:1", "", None, False),
        ("[::]:1", "", None, False),
        ("10.1.2.3:1", "", None, False),
        ("10.1.2.3:1", "", "10.1.2.4", False),
        ("10.1.2.3:1", "", "10.1.2.3", True),
        ("[10.1.2.3]:1", "", "10.1.2.3", True),
        ("[fd00::3]:1", "", "fd00::3", True),
        ("0.0.0.0:1", ", token_file: /t", None, True),
    ],
)
def test_beyond_loopback_and_the_own_pod_a_token_is_needed(
    listen: str, token: str, pod_ip: str | None, right: bool
) -> None:
    environ = {"POD_IP": pod_ip} if pod_ip else {}
    problems = problems_of(f'version: 1\nhttp: {{listen: "{listen}"{token}}}', environ)
    address = listen.rpartition(":")[0].strip("[]")
    wrong = f"F:2:7: http: token_file is needed to listen on {address}, which others than this host reach"
    assert problems == ([] if right else [wrong])


def test_what_other_rooms_know_is_told_with_its_place() -> None:
    def find_misfits(report: Report) -> list[tuple[tuple[str | int, ...], str]]:
        return [(("columns", index), f"no column {name}") for index, name in enumerate(report.columns) if name != "pid"]

    def check_runtime(text: str) -> None:
        raise UsageError(f"--runtime {text!r}: unknown kind")

    text = (
        "version: 1\nruntime: x\nreports:\n  - {name: a, every: 1s, columns: [pid, pidd]}\n"
        "  - {name: b, columns: [x]}\n  - {name: c, every: 1s, columns: [y]}\n"
    )
    assert problems_of(text, checks=Checks(find_misfits, check_runtime)) == [
        "F:2:10: runtime: 'x': unknown kind",
        "F:4:41: reports[0].columns[1]: no column pidd",
        "F:5:5: reports[1]: expected either every or cron",
        "F:6:36: reports[2].columns[0]: no column y",
    ]
