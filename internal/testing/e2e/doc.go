// Package e2e tests fleets of real processes: the demo binaries, on a real
// Redis, behind a balancer that spreads single requests, called by real clients.
// The processes are killed, frozen and terminated; what a client sees of it is
// what is tested. It has nothing but tests.
package e2e
