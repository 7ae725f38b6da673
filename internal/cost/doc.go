// Package cost reckons what the program costs on AWS: it plays messages through the real handlers over the stand-ins of
// scripts/parts.sh, counts what each takes, and prices it. "make cost" prints the report that is kept under docs/bench.
//
// DynamoDB Local misreports the capacity of transactions, so units come from [dynamo.Meter]. What cannot be measured on one
// machine (how long a call takes inside a region, how much memory a function has) is in [Assumptions], and in the report.
package cost
