"""The config that one begins with: manifests/config.yaml, of which a test knows that it is the same."""

from typing import Final

SAMPLE: Final = """\
# What `nsagent config init` prints, and `nsagent run` does. Change it, check it with `nsagent config validate FILE`.
# docs/config.md tells of every key; `nsagent config schema` tells them to an editor.
#
# ${NAME}, ${NAME:-DEFAULT} and ${NAME:?MESSAGE} are put in from the environment; a dollar sign itself is $$.
version: 1

# The longest time between two passes. Reports that are due together are made of one pass.
interval: 30s

# Of one CPU; a pass is paced so that it takes no more.
limits: {cpu: 5%, memory: 256MiB}

reports:
  # What has begun to listen, and what no longer does, since the report before.
  - name: new-listeners
    every: 1m
    select: {listening: true}
    view: listeners
    diff: true
    outputs:
      - {type: file, path: /var/lib/nsagent/new-listeners.jsonl, max_size: 64MiB, keep: 5}

  # How many connections each pod has, the fifty with the most.
  - name: connections-by-pod
    every: 5m
    select: {protocol: tcp, state: established}
    view: top
    group_by: [pod]
    limit: 50
    format: csv
    outputs:
      - {type: file, path: /var/lib/nsagent/connections-by-pod.csv}

  # Services that do not accept as fast as clients connect: what comes next is dropped.
  - name: accept-queues
    every: 1m
    select: {accept_queue_above: 80%}
    view: listeners
    columns: [netns, local, acceptq, pid, command, container, pod]
    sort_by: [-acceptq]
    format: csv
    outputs:
      - {type: file, path: /var/lib/nsagent/accept-queues.csv}

  # Connections that the peer has closed and the program has not: a number that only grows is a leak.
  - name: close-wait-leaks
    every: 10m
    jitter: 30s
    select: {state: close_wait}
    view: top
    group_by: [container, command]
    limit: 20
    format: table
    outputs:
      - {type: file, path: /var/lib/nsagent/close-wait-leaks.txt}

  # Sockets that no process holds, and why; those in TIME_WAIT, which are many and as they should be, are left out.
  - name: without-owner
    cron: "15 * * * *"
    timezone: UTC
    select: {ownerless: true, state: [established, listen, close_wait, fin_wait1, fin_wait2, last_ack, syn_recv, close]}
    view: sockets
    columns: [netns, proto, state, local, remote, verdict, charged]
    format: csv
    outputs:
      - {type: file, path: /var/lib/nsagent/without-owner.csv}

  # Who talks to the port of a database, on this node.
  - name: who-talks-to-port
    every: 5m
    select: {port: "${NSAGENT_WATCHED_PORT:-5432}"}
    view: connections
    group_by: [pod]
    format: jsonl
    outputs:
      - {type: stdout}

# What `nsagent history` tells.
history: {path: /var/lib/nsagent/history.db, max_age: 7d, max_size: 256MiB}

# Metrics and health, for this host only; another address than a loopback one, or the pod's own, needs a token_file.
# http: {listen: "127.0.0.1:9469"}

# Where a report may go besides: to node_exporter, and to a receiver of POST requests that may be down for a while.
#   - {type: textfile, path: /var/lib/node_exporter/nsagent.prom}
#   - type: http
#     url: https://receiver.example/reports
#     token_file: /etc/nsagent/token
#     spool: {path: /var/lib/nsagent/spool, max_size: 64MiB}
"""
