# The checks of sendguard, a target for each. None installs anything: what a target
# needs and is not there it names. .ci/run runs them all, on a fresh machine.

STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME ?= 5s
SHELL = bash
.SHELLFLAGS = -euo pipefail -c

CHECKS = fmt tidy vet staticcheck shellcheck fuzz packages image compose kubernetes release race

.PHONY: help check checks test $(CHECKS)

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 14

check: $(CHECKS) test ## all of them

checks: ## the names of all but test, for .ci/run
	@echo $(CHECKS)

fmt: ## gofmt would change nothing
	@unformatted=$$(gofmt -l .); [ -z "$$unformatted" ] || { echo "not formatted:" $$unformatted; exit 1; }

tidy: ## go.mod has what is needed, and no more
	go mod tidy -diff

vet: ## go vet, for Linux, Windows and macOS
	go vet ./...
	CGO_ENABLED=0 GOOS=windows go vet -trimpath ./cmd/sendguard/... # as a release is built, which then has it compiled
	CGO_ENABLED=0 GOOS=darwin go vet -trimpath ./cmd/sendguard/...

staticcheck: ## staticcheck; go run fetches and builds it
	go run $(STATICCHECK) ./...

shellcheck: ## the scripts; needs shellcheck
	grep -rlIZE '^#!.*[ /](ba)?sh$$' .ci deploy | xargs -0 shellcheck

fuzz: ## each fuzz target for FUZZTIME (5s)
	FUZZTIME=$(FUZZTIME) .ci/fuzz

packages: ## packages and units of this machine; needs lintian, rpm, bsdtar, systemd-analyze
	deploy/package/check

image: ## the image of this machine, built twice; needs buildah
	deploy/container/check

compose: ## the compose files, read by compose's own library
	cd deploy/compose/test && go vet ./... && go test ./...

release: ## all that a release has, in dist/; sends nothing
	deploy/package/release

kubernetes: ## the manifests, against the API's types and the guard; go run fetches and builds kustomize
	cd deploy/kubernetes/test && go vet . && go run $(STATICCHECK) . && go test .

race: ## the tests with the race detector; needs a C compiler
	CGO_ENABLED=1 go test -race ./...

test: ## the tests; those of Redis are skipped without redis-server
	go test ./...
