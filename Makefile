# The two commands that most people need. Both first find what the build lacks and install it where they may.

# Where rustup puts cargo, for a shell that has not picked it up yet.
export PATH := $(PATH):$(HOME)/.cargo/bin

.PHONY: help setup run test

help:
	@echo 'make run     build and run cipherlane; pass arguments as ARGS="run --key-bits 3072"'
	@echo 'make test    build and run all tests'
	@echo 'make setup   only find what the build lacks and install it where that is allowed'

setup:
	@sh scripts/setup.sh

run: setup
	cargo run --release $(if $(ARGS),-- $(ARGS))

test: setup
	cargo test
