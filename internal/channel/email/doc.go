// Package email is the mail channel.
package email
