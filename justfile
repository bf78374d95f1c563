# One door for each thing one does here; `just` lists them.

default:
    @just --list

# Format, lints, tests, docs: before each commit of substance.
check:
    tests/run

# The tests alone.
test:
    tests/run quick

# A working installation on this machine, at http://127.0.0.1:8080.
run *args:
    cargo run --release -- up {{args}}

# Invented calls on a scaled clock: limits run out within the minute.
demo *args:
    cargo run --release -- up --demo {{args}}

# Lint the wire schema, and compare it with what was released.
proto:
    npx --yes @bufbuild/buf@1.75.0 lint proto
    npx --yes @bufbuild/buf@1.75.0 breaking proto --against proto/released.binpb

# After an addition: what is written from now on is released, and never changed again.
proto-release: proto
    npx --yes @bufbuild/buf@1.75.0 build proto -o proto/released.binpb

# The table of figures, beside the machine's own limits.
bench *args:
    cargo run --release -- bench {{args}}

# The same work done by cqrs-es on PostgreSQL, beside ours (needs Debian's postgresql, and nats-server for JetStream).
bench-peers:
    crates/bench/peers/run

# How cost grows with the number of tickets, as a table and as pictures.
bench-growth sizes="10000,100000":
    cargo run --release -- bench --growth --sizes {{sizes}} --svg docs/performance

# The crates' documentation.
docs:
    cargo doc --workspace --no-deps --open
