// Package all lists every channel. The list is generated: a folder below internal/channel that declares a type Adapter is a
// channel, so adding one is adding its folder and running
//
//	go generate ./internal/channel/all
package all

//go:generate go run generate.go
