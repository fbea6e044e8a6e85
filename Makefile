# Millrace. `make` lists the targets.

SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

MODULES  := bpf cmd/millrace examples lib proto protocols services/capture services/decoder services/enricher services/exporter test
BIN      := $(CURDIR)/bin
TOOLS    := $(BIN)/tools

LDFLAGS  := -s -w
GOBUILD  := CGO_ENABLED=0 go build -trimpath -ldflags "$(LDFLAGS)"
CONFIG   ?=
KERNELS  ?=
PATHS    ?= 50000
CLUSTER  ?= $(abspath $(wildcard ../shared/cluster))
# A folder with api-only.sh, where its programs are built: see lib/kubetest.
KT_HOME  ?= $(HOME)/.cache/kt
export TEST_KUBE ?= $(if $(wildcard $(KT_HOME)/bin/kube-apiserver),$(CLUSTER))
TEST_PCAPS ?= $(abspath $(wildcard ../shared/pcaps))

BACKENDS_SHORT := ^(TestRules|TestDashboardStructure|TestExact|TestCollector|TestAgentConfiguration)$$
CHAOS_SHORT := ^(TestBucketsLost|TestKill|TestStop|TestScale|TestRollingUpgrade)$$

GOLANGCI_VERSION := v2.15.0
BUF_VERSION      := v1.75.0
PROTOC_GEN_GO_VERSION := v1.36.12
VTPROTO_VERSION  := v0.6.0
CYCLONEDX_VERSION := v1.10.0
HELM_VERSION     := v3.22.0

# What images and packages are named by. Without a tag the version is 0.0.0 and the commit.
VERSION  ?= $(shell (git describe --tags --match 'v*' --dirty 2>/dev/null || echo 0.0.0-$$(git describe --always --abbrev=12 --dirty)) | sed s/^v//)
REVISION ?= $(shell git rev-parse HEAD)
REGISTRY ?= localhost
GORELEASE = CGO_ENABLED=0 go build -trimpath -ldflags "$(LDFLAGS) -X millrace.dev/lib/service.version=$(VERSION)"
export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct)

PROGRAMS := millrace millrace-capture millrace-decoder millrace-enricher millrace-exporter
ARCHITECTURES := amd64 arm64
comma := ,
space := $(subst ,, )

# Debian packages: what the tests talk to, and what regenerating needs. `make run` needs none of them.
TEST_PACKAGES := redis-server nginx-light python3 python3-requests curl iproute2 procps unbound bind9-dnsutils postgresql \
  mariadb-server mariadb-client python3-pymysql python3-psycopg python3-redis memcached python3-pymongo kcat
# The services among them, which nobody asked for: the tests run the programs by themselves.
TEST_SERVICES := unbound postgresql mariadb memcached
BACKEND_PACKAGES := prometheus redis-server
BPF_PACKAGES  := clang-16 llvm-16 libbpf-dev clang-format-16

##@ Use
.PHONY: run demo doctor
run: build ## Build and start everything in one process: capture, NATS, decoder, enricher, exporter (root)
	$(BIN)/millrace run $(if $(CONFIG),--config $(CONFIG))

demo: build demo-packages ## The same beside a small polyglot application under load, so that there is something to see (root)
	test/apps/demo/run.sh $(BIN)/millrace

doctor: build ## Say what this kernel and these capabilities allow, and what is lost without them
	$(BIN)/millrace doctor

##@ Build
.PHONY: build build-arm64 bpf generate
build: ## Build millrace and the four services into bin/ (no clang needed)
	@mkdir -p $(BIN)
	$(GOBUILD) -o $(BIN)/ ./cmd/millrace ./services/capture/cmd/... ./services/decoder/cmd/... ./services/enricher/cmd/... ./services/exporter/cmd/...

build-arm64: ## Build the same for arm64 into bin/arm64
	@mkdir -p $(BIN)/arm64
	GOARCH=arm64 $(GOBUILD) -o $(BIN)/arm64/ ./cmd/millrace ./services/capture/cmd/... ./services/decoder/cmd/... ./services/enricher/cmd/... ./services/exporter/cmd/...

bpf: bpf-packages ## Compile the kernel side again (the objects are committed)
	bpf/build.sh

generate: bpf $(TOOLS)/buf $(TOOLS)/protoc-gen-go $(TOOLS)/protoc-gen-go-vtproto ## Regenerate everything that is generated: eBPF objects, protobuf code, the configuration reference, the list of metrics
	cd proto && PATH=$(TOOLS):$$PATH buf generate
	go generate ./lib/... ./protocols

##@ Release
.PHONY: images test-images release-binaries deb test-deb
release-binaries:
	@for arch in $(ARCHITECTURES); do \
	  mkdir -p $(BIN)/release/$$arch; \
	  GOARCH=$$arch $(GORELEASE) -o $(BIN)/release/$$arch/ ./cmd/millrace ./services/capture/cmd/... ./services/decoder/cmd/... ./services/enricher/cmd/... ./services/exporter/cmd/...; \
	done

images: release-binaries $(TOOLS)/cyclonedx-gomod ## Container images for amd64 and arm64 into bin/images: OCI layouts, archives to load, bills of materials. No container engine needed
	@mkdir -p $(BIN)/images $(BIN)/release/sboms
	@for arch in $(ARCHITECTURES); do for program in $(PROGRAMS); do \
	  $(TOOLS)/cyclonedx-gomod bin -json -std -noserial -notimestamp -version $(VERSION) \
	    -output $(BIN)/release/sboms/$$program-$$arch.cdx.json $(BIN)/release/$$arch/$$program 2>/dev/null; \
	done; done
	cd deploy && GOWORK=off go run ./images -binaries $(BIN)/release -sboms $(BIN)/release/sboms -license ../LICENSE \
	  -version $(VERSION) -revision $(REVISION) -created $(SOURCE_DATE_EPOCH) -registry $(REGISTRY) \
	  -architectures $(subst $(space),$(comma),$(ARCHITECTURES)) -o $(BIN)/images

test-images: images ## Load the images again, look into them, run what is in them, and build them a second time (root)
	cd deploy && GOWORK=off IMAGES=$(BIN)/images go test -count=1 ./images

deb: release-binaries ## Debian packages for amd64 and arm64 into bin/deb: the all-in-one, the services, units, a configuration. dpkg-deb packs them
	@rm -rf $(BIN)/deb
	@for arch in $(ARCHITECTURES); do deploy/debian/build.sh $$arch "$(VERSION)" $(BIN)/release/$$arch $(BIN)/deb; done

test-deb: ARCHITECTURES = $(shell dpkg --print-architecture)
test-deb: release-binaries deb-packages ## Install, run, upgrade, remove and purge the package in a fresh Debian, and build it a second time (root)
	@work=$$(mktemp -d); trap 'rm -rf --one-file-system "$$work"' EXIT; \
	deploy/debian/test.sh $(BIN)/release/$(ARCHITECTURES) "$(VERSION)" "$$work"

##@ Check
.PHONY: test test-unit test-chart test-taps test-e2e e2e-k8s e2e-k8s-cluster test-pcaps test-kernels test-fuzz test-chaos test-chaos-short test-upgrade test-backends test-backends-short backends lint lint-comments lint-schema lint-go lint-generated bench bench-stages bench-rooms accuracy
test: export E2E_PACKAGES := installed
test: test-packages build test-unit test-e2e ## Install what the tests need, then run unit tests and the exactness suite on the real kernel (root)

test-unit: ## Unit and integration tests of every module; the three-node NATS cluster is in test-chaos
	@for module in $(MODULES); do \
	  packages=$$(cd $$module && go list ./... 2>/dev/null | grep -Ev '/(e2e|chaos|backends|k8s)$$|/e2e/' || true); \
	  [ -n "$$packages" ] || continue; \
	  echo "== $$module"; (cd $$module && go test -count=1 -timeout 15m -skip '^TestCrashCluster$$' $$packages); \
	done

# Where an API server to try things on is beside the checkout, the rights that the chart gives are tried on it.
TEST_API ?= $(abspath $(wildcard ../shared/cluster/api-only.sh))

test-chart: $(TOOLS)/helm ## The Helm chart: wrong values, manifests by four versions of Kubernetes; on a real API server (TEST_API starts and stops it) rights, objects of operators, upgrades that are refused
	cd deploy && GOWORK=off HELM=$(TOOLS)/helm go test -count=1 ./helm
	TEST_API=$(TEST_API) HELM=$(TOOLS)/helm deploy/helm/testdata/api.sh

test-taps: ## The examples of docs/taps.md, in Go and, where there is npm, in JavaScript
	cd examples/tap-js && { ! command -v npm > /dev/null || npm install --no-audit --no-fund; }
	cd cmd/millrace && go test -count=1 -run '^TestExamplesOfTaps$$' -v .

test/clients/node_modules: test/clients/package.json
	@if command -v npm > /dev/null; then cd test/clients && npm install --no-audit --no-fund --ignore-scripts && touch node_modules; \
	else echo 'no npm: the exactness suite runs without the clients of test/clients'; fi

test-e2e: build test/clients/node_modules ## The exactness suite: real programs, real kernel, both ends checked (root)
	cd test && MILLRACE=$(BIN)/millrace go test -count=1 -timeout 20m ./e2e/...

e2e-k8s: build ## The chart and an application on the cluster of KUBECONFIG: traces, names, metrics, faults, upgrades (test/k8s/doc.go)
	$(MAKE) --no-print-directory images ARCHITECTURES=$$(go env GOARCH)
	cd test && MILLRACE=$(BIN)/millrace K8S_IMAGES=$(BIN)/images K8S_VERSION=$(VERSION) go test -count=1 -timeout 40m -v ./k8s

e2e-k8s-cluster: test-packages ## The same on a cluster of two nodes that CLUSTER, a folder with up.sh, load-image.sh and down.sh, makes and removes (root)
	test/k8s/cluster.sh $(CLUSTER)

test-pcaps: ## Packet captures of TEST_PCAPS, through the decoder, against tshark
	cd services/decoder && TEST_PCAPS=$(TEST_PCAPS) go test -count=1 -v -run Conformance ./pcap

test-kernels: ## Capture on other kernels in virtual machines. TEST_VM names the tool that boots them
	test/kernels/run.sh $(KERNELS)

test-fuzz: ## Fuzz every target for FUZZTIME each
	test/fuzz.sh

test-chaos: test-packages build ## Kill, stop, cut off and starve processes under an exactly counted load and compare with the truth (root)
	cd lib && go test -count=1 -timeout 20m -run Crash ./stage -args -crash.duration=120s
	cd test && MILLRACE=$(BIN)/millrace go test -count=1 -timeout 40m -v ./chaos -args -chaos.duration=60s

test-chaos-short: test-packages build ## The part of test-chaos that is about instances of services, three minutes
	cd test && MILLRACE=$(BIN)/millrace go test -count=1 -timeout 12m -v -run '$(CHAOS_SHORT)' ./chaos -args -chaos.duration=5s

test-upgrade: test-packages build ## Replace the version of the commit OLD by this one under load; DETAILS=true where its enricher reads details only
	MILLRACE=$(BIN)/millrace OLD=$(OLD) MILLRACE_OLD_DETAILS=$(DETAILS) test/upgrade.sh

test-backends: backend-packages build backends ## Metrics and traces against a real Prometheus, Collector and Jaeger; dashboards and rules (root). PATHS=1000000 for the long form
	cd test && MILLRACE=$(BIN)/millrace BACKENDS=$(BIN)/backends go test -count=1 -timeout 40m ./backends -args -paths=$(PATHS)

test-backends-short: backend-packages build $(BIN)/backends/otelcol ## The part of test-backends that fits into four minutes, without Jaeger
	cd test && MILLRACE=$(BIN)/millrace BACKENDS=$(BIN)/backends go test -count=1 -timeout 12m -v -run '$(BACKENDS_SHORT)' ./backends

backends: $(BIN)/backends/otelcol $(BIN)/backends/all-in-one

bench: test-packages build ## Measure the budgets beside a run without the agent and write docs/benchmarks.md (root)
	cd test && MILLRACE=$(BIN)/millrace go run ./bench -o $(CURDIR)/docs/benchmarks.md

bench-stages: build ## What each stage costs, alone, in a pipeline of processes and scaled out; writes docs/benchmarks-stages.md (root)
	cd test && MILLRACE=$(BIN)/millrace go run ./bench/stages -o $(CURDIR)/docs/benchmarks-stages.md

bench-rooms: ## What each protocol costs: exchanges a second in the decoder, bytes a second in the node's scanner; writes docs/benchmarks-rooms.md
	cd test && go run ./bench/stages -rooms -o $(CURDIR)/docs/benchmarks-rooms.md

accuracy: test-packages build ## Run the exactness suite and write docs/accuracy.md (root)
	cd test && MILLRACE=$(BIN)/millrace go run ./accuracy -o $(CURDIR)/docs/accuracy.md

lint: lint-comments lint-schema lint-go lint-generated ## Every linter, and check that generated files are current

lint-comments: ## No line of a comment or of a document is wider than 120 columns
	test/comments.sh

# The release before, or the commit before where there is none; in a clone of one commit what is committed.
AGAINST ?= $(shell git describe --tags --abbrev=0 2>/dev/null || git rev-parse --verify -q HEAD~1 || git rev-parse HEAD)

lint-schema: $(TOOLS)/buf ## Messages of the version in AGAINST (the newest tag, else the commit before) can still be read
	@before=$$(mktemp -d); trap 'rm -rf "$$before"' EXIT; \
	echo "== the schema against $(AGAINST)"; git archive $(AGAINST) proto | tar -x -C "$$before"; \
	cd proto && $(TOOLS)/buf breaking --against "$$before/proto"

lint-go: $(TOOLS)/golangci-lint
	@for module in $(MODULES); do \
	  [ -n "$$(cd $$module && go list ./... 2>/dev/null)" ] || continue; \
	  echo "== lint $$module"; (cd $$module && $(TOOLS)/golangci-lint run --config $(CURDIR)/.golangci.yml ./...); \
	done

lint-generated: generate
	cd proto && $(TOOLS)/buf lint
	clang-format-16 --dry-run --Werror bpf/*.c bpf/*.h
	@git diff --exit-code --stat -- bpf proto docs/accuracy.md docs/configuration.md docs/metrics.md docs/permissions.md docs/protocols.md || { echo "generated files are not current: run 'make generate' and commit"; exit 1; }

##@ Tools
.PHONY: test-packages install-test-packages backend-packages install-backend-packages bpf-packages deb-packages demo-packages clean help
define install_packages
	@missing=; for p in $(1); do dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing+=" $$p"; done; \
	if [ -n "$$missing" ]; then echo "installing Debian packages:$$missing"; \
	  $(SUDO) apt-get update -qq; DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends $$missing >/dev/null; fi
endef
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)

test-packages:
	@running=$$(for s in $(TEST_SERVICES); do systemctl is-enabled --quiet $$s 2>/dev/null && echo $$s; done; true); \
	$(MAKE) --no-print-directory install-test-packages; \
	[ -d /run/systemd/system ] || exit 0; \
	for s in $(TEST_SERVICES); do grep -qw $$s <<< "$$running" || $(SUDO) systemctl disable --now --quiet $$s 2>/dev/null || true; done
install-test-packages:
	$(call install_packages,$(TEST_PACKAGES))

# The package starts its service, which nobody asked for: the tests run the program by themselves.
backend-packages:
	@dpkg-query -W -f='$${Status}' prometheus 2>/dev/null | grep -q 'ok installed' || fresh=1; \
	$(MAKE) --no-print-directory install-backend-packages; \
	if [ -n "$${fresh:-}" ] && [ -d /run/systemd/system ]; then $(SUDO) systemctl disable --now --quiet prometheus || true; fi
install-backend-packages:
	$(call install_packages,$(BACKEND_PACKAGES))

bpf-packages:
	$(call install_packages,$(BPF_PACKAGES))

deb-packages:
	$(call install_packages,debootstrap curl)

demo-packages:
	$(call install_packages,redis-server python3 nodejs)

$(TOOLS)/golangci-lint:
	GOBIN=$(TOOLS) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
$(TOOLS)/buf:
	GOBIN=$(TOOLS) go install github.com/bufbuild/buf/cmd/buf@$(BUF_VERSION)
$(TOOLS)/protoc-gen-go:
	GOBIN=$(TOOLS) go install google.golang.org/protobuf/cmd/protoc-gen-go@$(PROTOC_GEN_GO_VERSION)
$(TOOLS)/protoc-gen-go-vtproto:
	GOBIN=$(TOOLS) go install github.com/planetscale/vtprotobuf/cmd/protoc-gen-go-vtproto@$(VTPROTO_VERSION)

# What Helm says of its version and of the Kubernetes that it renders for comes from the linker in its own releases, too.
$(TOOLS)/helm:
	GOBIN=$(TOOLS) CGO_ENABLED=0 go install -trimpath -ldflags "-s -w -X helm.sh/helm/v3/internal/version.version=$(HELM_VERSION)" helm.sh/helm/v3/cmd/helm@$(HELM_VERSION)

$(TOOLS)/cyclonedx-gomod:
	GOBIN=$(TOOLS) go install github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@$(CYCLONEDX_VERSION)

# Modules of their own, outside of the workspace: what the Collector and Jaeger need is not what Millrace is built with.
$(BIN)/backends/otelcol: test/backends/collector/go.mod test/backends/collector/main.go
	cd test/backends/collector && GOWORK=off CGO_ENABLED=0 go build -ldflags "$(LDFLAGS)" -o $@ .
$(BIN)/backends/all-in-one: test/backends/jaeger/go.mod
	cd test/backends/jaeger && GOWORK=off CGO_ENABLED=0 go build -ldflags "$(LDFLAGS)" -o $@ github.com/jaegertracing/jaeger/cmd/all-in-one

clean: ## Remove what was built
	rm -rf $(BIN)

help: ## This list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' Makefile
