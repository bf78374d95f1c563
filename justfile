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

# So many seeds of random days and faults, judged (docs/reliability.md).
simulate seeds="1000" from="0":
    cargo run --release -- simulate --seeds {{seeds}} --from {{from}}

# So many rounds of chaos by seed, on real processes: a line each, then a table (docs/reliability.md).
chaos rounds="100" seed="1":
    tests/force chaos {{rounds}} {{seed}}

# So many kills of the embedded process, one in five while it recovers.
chaos-embedded kills="500" seed="1":
    tests/force embedded {{kills}} {{seed}}

# The table of figures, beside the machine's own limits.
bench *args:
    cargo run --release -- bench {{args}}

# Power loss at the level of the file, so many times (docs/reliability.md).
power-loss times="1000":
    CUIBAN_POWER_LOSSES={{times}} cargo test --release -p cuiban-event-log-sqlite --test power_loss -- --nocapture

# So many damaged read models, logs and exports (docs/reliability.md).
damage times="1000":
    cargo build --release -p cuiban-cli
    CUIBAN_DAMAGES={{times}} cargo test --release -p acceptance --test damage -- --nocapture
    CUIBAN_DAMAGES={{times}} cargo test --release -p cuiban-projector --test read_side damaged_copies -- --nocapture

# Whatever comes from outside, by the million: `just fuzz`, `just fuzz 60 body`.
fuzz seconds="600" *targets:
    fuzz/run {{seconds}} {{targets}}

# The same commands through cqrs-es on PostgreSQL, beside ours: `just bench-peers --rounds 9 --json`.
bench-peers *args:
    crates/bench/peers/run {{args}}

# The running API against its own description: `just schemathesis 100 1`, so many examples an operation, by seed.
schemathesis examples="100" seed="1" *more:
    tests/schemathesis {{examples}} {{seed}} {{more}}

# The domain with one thing wrong at a time, and whether a test notices: `just mutants -f 'crates/domain/src/sla/**'`.
mutants *args:
    command -v cargo-mutants >/dev/null || cargo install --locked cargo-mutants --version 27.1.0
    CARGO_PROFILE_DEV_DEBUG=0 cargo mutants --package cuiban-domain --jobs 1 {{args}}

# How cost grows with the number of tickets, as a table and as pictures.
bench-growth sizes="10000,100000":
    cargo run --release -- bench --growth --sizes {{sizes}} --svg docs/performance

# The crates' documentation.
docs:
    cargo doc --workspace --no-deps --open
