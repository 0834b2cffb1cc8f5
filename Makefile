# The README's commands. Everything else is cargo.
.POSIX:
.PHONY: help demo test test-all bench campaign failover scale model fuzz mutations tidy deps vendor rpm deb helpers

help:
	@echo "make demo       build, then show a lock taken, refused and handed over (15 s)"
	@echo "make test       install what the tests need, then run them all"
	@echo "make test-all   the same, with what is too long for CI, and the mutations"
	@echo "make mutations  break each promise by a patch, and expect its test to fail"
	@echo "make bench      against what the distribution has: time and memory, as ratios"
	@echo "What docs/EVIDENCE.md says, measured again and written there:"
	@echo "make campaign   faults at random, and whether two nodes ever hold at once (two hours)"
	@echo "make failover   how long a cluster is without a leader after a fault, beside what the distribution has (25 min)"
	@echo "make scale      300 locks at once, 200 contenders, 10 000 cycles (an hour)"
	@echo "make model      the protocol proven in a model checker, and each of its rules broken"
	@echo "make fuzz       all that is read from elsewhere, SECONDS each (600)"
	@echo "Packages:"
	@echo "make vendor     fetch the crates that RPMs are built from (their only step with a network)"
	@echo "make rpm        source and binary RPMs into \$$(PACKAGES), target/packages by default"
	@echo "make deb        Debian packages, into the same"
	@echo "make tidy       formatting, lints, documentation"

demo:
	cargo build --quiet
	./demo.sh "$${CARGO_TARGET_DIR:-target}/debug"

deps:
	./tests/install-deps

test: deps
	./tests/run

test-all: deps
	SLOW=1 ./tests/run
	./tests/mutate

mutations: deps
	./tests/mutate

# Each helper alone: with the tests, or another, it would get the features that only they ask for.
helpers: deps
	cargo build --quiet --release -p ctdb_mutex_file_helper
	cargo build --quiet --release -p ctdb_mutex_rados_helper
	cargo build --quiet --release -p ctdb_mutex_etcd_helper

bench: helpers
	cargo run --quiet --release -p mutex-tests --bin bench

# Each kind of fault more than fifty times, on every store, for ours and the distribution's. CAMPAIGN says otherwise:
# CAMPAIGN="--backend etcd --seed 100 --rounds 1", say; see --help.
CAMPAIGN = --subject ours,distribution,unsafe --runs 5 --rounds 11 --side-by-side 6 --record

campaign: helpers
	cargo build --quiet --release -p mutex-tests --bins
	cargo build --quiet --release -p mutex-evidence --bins
	cargo run --quiet --release -p mutex-evidence --bin campaign -- $(CAMPAIGN)

# What of it: FAILOVER="--runs 5", "--only power-lost,rados-9", "--draw"; see --help.
FAILOVER =

failover: helpers
	cargo run --quiet --release -p mutex-evidence --bin failover -- $(FAILOVER)

scale: helpers
	cargo build --quiet --release -p mutex-tests --bin hung_fs
	cargo run --quiet --release -p mutex-evidence --bin scale -- --record

model:
	cargo run --quiet -p mutex-evidence --bin model

# How long, and which, all where none is named. Needs a nightly compiler and cargo-fuzz.
SECONDS = 600
TARGETS =

fuzz:
	cargo run --quiet -p mutex-evidence --bin fuzz -- "$(SECONDS)" $(TARGETS)

# Where `make rpm` and `make deb` put what they have built.
PACKAGES = target/packages

vendor:
	./packaging/vendor

rpm:
	./packaging/rpm/build "$(PACKAGES)"

deb:
	./packaging/deb/build "$(PACKAGES)"

tidy:
	cargo fmt --check
	cargo fmt --check --manifest-path fuzz/Cargo.toml
	cargo clippy --quiet --workspace --all-targets -- -D warnings
	# Without libFuzzer: that its modules still fit together. The checks themselves are tests of the crates they are about.
	cargo clippy --quiet --manifest-path fuzz/Cargo.toml --no-default-features --lib --locked --target-dir target -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --quiet --workspace --no-deps --document-private-items
