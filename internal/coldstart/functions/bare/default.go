//go:build !literal

package main

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
)

// configuration is what everybody writes.
func configuration() (aws.Config, error) { return config.LoadDefaultConfig(context.Background()) }
