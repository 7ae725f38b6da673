//go:build !parts

package main

// killRounds is how often the process is killed; many times more with the tag parts and in the soak run.
const killRounds = 4
