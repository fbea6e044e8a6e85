// Package helm has the tests of the chart: what it renders of many values, what it says of wrong ones, and that its
// package has the dashboards and rules of this repository. HELM names the program; `make test-chart` installs it.
package helm
