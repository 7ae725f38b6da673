//go:build parts

package main

// killRounds is how often the process is killed in "make test".
const killRounds = 60
