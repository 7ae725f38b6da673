# Aikajana. `make` lists the targets.

SHELL := /bin/bash
.DEFAULT_GOAL := help
export AIKAJANA_CACHE ?= $(HOME)/.cache/aikajana
# The toolchain that go.mod names is on the machine; nothing else is fetched.
export GOTOOLCHAIN ?= local

DATA ?= data
GOLANGCI := 2.15.0
LINT := $(AIKAJANA_CACHE)/golangci-lint-$(GOLANGCI)/golangci-lint
FUZZTIME ?= 20s

##@ Use

.PHONY: help
help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^##@ / {printf "\n%s\n", substr($$0, 5)} /^[a-z][a-z0-9-]*:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: build ## Run the whole system in ./data; needs only Go and make
	bin/aikajana serve --data $(DATA)

.PHONY: build
build: ## Build the local binary into ./bin
	@mkdir -p bin
	go build -trimpath -o bin/aikajana ./cmd/aikajana

##@ Check

.PHONY: test
test: parts lint build ## Everything, against real parts: installs what it needs, outside the tree
	@echo "test: all packages, with the stand-ins for AWS"
	go test -tags parts -timeout 40m ./...

.PHONY: quick
quick: ## The tests that need only Go
	go test ./...

.PHONY: parts
parts: ## Install the stand-ins and clients that the tests need
	@scripts/parts.sh all

.PHONY: lint
lint: $(LINT) ## Vet, format and architecture rules
	@echo "lint: golangci-lint $(GOLANGCI)"
	@$(LINT) run --build-tags parts ./...

$(LINT):
	@echo "lint: building golangci-lint $(GOLANGCI) into $(dir $@); this takes a few minutes the first time"
	@GOBIN=$(dir $@) GOFLAGS= go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v$(GOLANGCI)

.PHONY: generate
generate: ## Make generated files anew
	go generate ./...

.PHONY: spec-check
spec-check: ## Hold WhatsApp to the provider's own API description: make spec-check SPECS=FOLDER
	@test -n "$(SPECS)" || { echo "spec-check: say where the descriptions are: make spec-check SPECS=FOLDER"; exit 2; }
	SPECS=$(abspath $(SPECS)) go test -count=1 -tags specs -run Spec ./internal/channel/whatsapp

.PHONY: fuzz
fuzz: ## Fuzz everything that parses, FUZZTIME each
	@scripts/fuzz.sh $(FUZZTIME)

##@ Measure

.PHONY: bench
bench: build ## Measure the program next to the bare store on this machine's disk
	@echo "bench: some minutes; a million cases are seeded for the long work list"
	go run ./internal/bench/cmd/bench -binary bin/aikajana

KILL_ROUNDS ?= 1000
SOAK ?= 10m
MESSAGES ?= 100000

.PHONY: soak
soak: soak-local soak-aws ## Kill the process a thousand times, load it evenly for ten minutes, and the AWS handlers with 100,000 messages

.PHONY: soak-local
soak-local: build
	@echo "soak: $(KILL_ROUNDS) kills at about two a second, then an even load for $(SOAK)"
	AIKAJANA_KILL_ROUNDS=$(KILL_ROUNDS) go test -count=1 -v -timeout 4h -run '^TestKilledAtRandomMoments' ./cmd/aikajana
	go run ./internal/bench/cmd/bench -binary bin/aikajana -soak $(SOAK)

.PHONY: soak-aws
soak-aws: parts
	@echo "soak: $(MESSAGES) messages through the Lambda handlers over stand-ins, ten workers"
	AIKAJANA_LOAD_MESSAGES=$(MESSAGES) go test -tags parts -count=1 -v -timeout 4h -run '^TestThousandsOfMessages' ./internal/scenario

.PHONY: cost
cost: parts ## What a message costs on AWS, from the writes and calls really made
	go run ./internal/cost/cmd/cost

.PHONY: coldstart
coldstart: ## How long each Lambda takes from exec to its first poll, next to a bare one
	go run ./internal/coldstart/cmd/coldstart

##@ AWS

export SAM_CLI_TELEMETRY := 0
SAM = $(firstword $(wildcard $(AIKAJANA_CACHE)/sam-*/bin/sam) sam)
CFN_LINT = $(firstword $(wildcard $(AIKAJANA_CACHE)/sam-*/bin/cfn-lint) cfn-lint)

.PHONY: sam-validate
sam-validate: ## Check template.yaml; needs no credentials
	$(SAM) validate --lint
	$(CFN_LINT) template.yaml

.PHONY: sam-build
sam-build: ## Build the functions for deployment into ./.aws-sam
	@scripts/sam-build.sh $(ARCHITECTURE)

.PHONY: local-aws
local-aws: ## Run the AWS shape on this machine, to play with; needs Docker, or root on Debian
	@scripts/parts.sh docker dynamodb sqs moto sam
	@go run ./scripts/local-aws

.PHONY: local-aws-stop
local-aws-stop: ## Stop it and leave nothing behind
	@go run ./scripts/local-aws -stop
