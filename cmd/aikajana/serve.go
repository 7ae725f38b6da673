package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/aikajana/aikajana/internal/app/local"
)

type serveCmd struct {
	Data         string `help:"Folder that holds everything: store, files, secrets and key." default:"data" placeholder:"DIR"`
	HTTP         string `name:"http" help:"Listen for HTTP here; port 0 takes a free one." default:"127.0.0.1:8080" placeholder:"ADDR"`
	SMTP         string `name:"smtp" help:"Listen for mail here; port 0 takes a free one." default:"127.0.0.1:2525" placeholder:"ADDR"`
	Config       string `help:"JSON file that declares accounts." placeholder:"FILE" type:"existingfile"`
	BaseURL      string `name:"base-url" help:"Address by which the outside reaches this server." placeholder:"URL"`
	MailChecks   string `help:"Check SPF, DKIM and DMARC of incoming mail: on, off, or auto (on unless mail comes from this machine alone)." enum:"auto,on,off" default:"auto"`
	MailDomain   string `help:"Name that the mail listener goes by." default:"localhost" placeholder:"NAME"`
	TLSCert      string `name:"tls-cert" help:"Certificate for STARTTLS; one is made when none is given." type:"existingfile" placeholder:"FILE"`
	TLSKey       string `name:"tls-key" help:"Key of the certificate." type:"existingfile" placeholder:"FILE"`
	AllowPrivate bool   `help:"Allow calls to private addresses: stand-ins, a relay in your own network."`
	LogLevel     string `help:"What to log: debug, info, warn or error." enum:"debug,info,warn,error" default:"info"`
}

// Help shows an example.
func (serveCmd) Help() string {
	return "Example: aikajana serve --data desk --http 127.0.0.1:8080 --config accounts.json\n\n" +
		"AIKAJANA_ADMIN_PASSWORD creates the user admin on an empty store, AIKAJANA_TOKEN an API token with all rights."
}

// Run serves until the process is told to end.
func (c *serveCmd) Run(ctx context.Context, s streams) error {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		return &exit{exitUsage, err}
	}
	log := slog.New(slog.NewJSONHandler(s.err, &slog.HandlerOptions{Level: level}))
	server, err := local.Open(local.Options{
		Data: c.Data, HTTP: c.HTTP, SMTP: c.SMTP, Config: c.Config, AllowPrivate: c.AllowPrivate, BaseURL: c.BaseURL, Log: log, Out: s.out,
		MailChecks: c.MailChecks, MailDomain: c.MailDomain, Certificate: c.TLSCert, CertificateKey: c.TLSKey,
		AdminPassword: os.Getenv("AIKAJANA_ADMIN_PASSWORD"), Token: os.Getenv("AIKAJANA_TOKEN"),
	})
	if err != nil {
		return err
	}
	return server.Serve(ctx)
}
