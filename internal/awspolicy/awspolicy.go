// Package awspolicy holds what the functions of template.yaml may do against what they do. [Roles] reads the policies of the
// template, [Recorder] remembers the calls that functions made over stand-ins, [Compare] says where the two part. It is for
// tests: no stand-in checks permissions, so a missing one would show on AWS alone, and one too many nowhere.
//
// Both sides speak of resources by ARNs in which each resource has its logical name of the template:
// "arn:aws:sqs:eu-north-1:123456789012:InboundQueue".
package awspolicy

import (
	"slices"
	"strings"
)

// Permission is one action on one resource. In a role either may hold the wildcards * and ?.
type Permission struct{ Action, Resource string }

// String is the permission in a line.
func (p Permission) String() string { return p.Action + " on " + p.Resource }

// Names of the account and region in every ARN here.
const (
	region  = "eu-north-1"
	account = "123456789012"
	// StackName is what AWS::StackName stands for.
	StackName = "stack"
)

// Difference is where a function's calls and its role part.
type Difference struct {
	Function string
	// Refused are calls that the role does not allow; Unused are permissions that no call needed.
	Refused, Unused []Permission
}

// Compare says by function what calls the roles would refuse, and what they allow that nobody asked for. Functions without a
// difference are left out.
func Compare(roles map[string][]Permission, calls map[string][]Permission) []Difference {
	names := map[string]bool{}
	for f := range roles {
		names[f] = true
	}
	for f := range calls {
		names[f] = true
	}
	var all []Difference
	for f := range names {
		d := Difference{Function: f}
		for _, c := range calls[f] {
			if !slices.ContainsFunc(roles[f], func(may Permission) bool { return may.allows(c) }) {
				d.Refused = append(d.Refused, c)
			}
		}
		for _, may := range roles[f] {
			if !slices.ContainsFunc(calls[f], may.allows) {
				d.Unused = append(d.Unused, may)
			}
		}
		if len(d.Refused)+len(d.Unused) > 0 {
			all = append(all, d)
		}
	}
	slices.SortFunc(all, func(a, b Difference) int { return strings.Compare(a.Function, b.Function) })
	return all
}

func (p Permission) allows(c Permission) bool {
	return matches(strings.ToLower(p.Action), strings.ToLower(c.Action)) && matches(p.Resource, c.Resource)
}

// matches is IAM's: * is any run of characters, ? is one ("IAM JSON policy elements: Resource", seen 2026-11-23).
func matches(pattern, s string) bool {
	for i := 0; i < len(pattern); i++ {
		switch {
		case pattern[i] == '*':
			for j := len(s); j >= 0; j-- {
				if matches(pattern[i+1:], s[j:]) {
					return true
				}
			}
			return false
		case s == "" || pattern[i] != '?' && pattern[i] != s[0]:
			return false
		}
		s = s[1:]
	}
	return s == ""
}
