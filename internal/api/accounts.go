package api

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/aikajana/aikajana/internal/auth"
	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/secret"
	"github.com/aikajana/aikajana/internal/store"
)

// settingsOf are the settings of an account of the channel: its own, and the common ones that it does not declare itself.
func (a *API) settingsOf(info *channel.Info) []channel.Setting {
	all := slices.Clone(info.Settings)
	for _, s := range a.CommonSettings {
		if !slices.ContainsFunc(all, func(own channel.Setting) bool { return own.Name == s.Name }) {
			all = append(all, s)
		}
	}
	return all
}

// apiBase is the setting that says where a provider is.
const apiBase = "api_base"

// ListChannels implements GET /api/v1/channels.
func (h handlers) ListChannels(context.Context, ListChannelsRequestObject) (ListChannelsResponseObject, error) {
	out := ChannelList{Items: []ChannelInfo{}}
	for _, id := range h.Channels.IDs() {
		info, _ := h.Channels.Info(id)
		v := ChannelInfo{
			Id: info.ID, Name: info.Name, Mark: info.Mark, Reference: opt(info.Reference), Public: info.Public,
			TextLimit: int32(info.Can.Text), //nolint:gosec // a few thousand
			WindowS:   opt(int64(info.Window.Seconds())), UndoS: opt(int64(info.Can.Undo.Seconds())), Settings: []ChannelSetting{},
		}
		for _, s := range h.settingsOf(&info) {
			v.Settings = append(v.Settings, ChannelSetting{
				Name: s.Name, Secret: s.Secret, Required: s.Required, Default: opt(s.Default), Pattern: opt(s.Pattern), Help: s.Help,
			})
		}
		out.Items = append(out.Items, v)
	}
	return ListChannels200JSONResponse(out), nil
}

// ListAccounts implements GET /api/v1/accounts.
func (h handlers) ListAccounts(ctx context.Context, _ ListAccountsRequestObject) (ListAccountsResponseObject, error) {
	accounts, err := h.Store.Accounts(ctx)
	if err != nil {
		return nil, err
	}
	last, err := h.lastDeliveries(ctx)
	if err != nil {
		return nil, err
	}
	out := AccountList{Items: []Account{}}
	for _, account := range accounts {
		v, err := h.viewAccount(ctx, account, last)
		if err != nil {
			return nil, err
		}
		out.Items = append(out.Items, v)
	}
	return ListAccounts200JSONResponse(out), nil
}

// lastDeliveries says when each account last received something.
func (h handlers) lastDeliveries(ctx context.Context) (map[store.AccountKey]msg.Time, error) {
	ledger, err := h.Store.Ledger(ctx)
	if err != nil {
		return nil, err
	}
	last := make(map[store.AccountKey]msg.Time, len(ledger))
	for _, a := range ledger {
		last[store.AccountOf(a.Channel, a.Account)] = a.LastReceived
	}
	return last, nil
}

func (h handlers) viewAccount(ctx context.Context, a *store.Connected, last map[store.AccountKey]msg.Time) (Account, error) {
	v := Account{
		Channel: a.Channel, Account: a.Account, Team: a.Team, Settings: map[string]string{}, SecretsSet: some(slices.Clone(a.Secrets)),
		Declared: a.Declared, LastDelivery: opt(last[store.AccountOf(a.Channel, a.Account)]),
	}
	maps.Copy(v.Settings, a.Settings)
	slices.Sort(v.SecretsSet)
	if !a.LastRefusal.At.IsZero() {
		v.LastRefusal = &Refusal{At: a.LastRefusal.At, Reason: a.LastRefusal.Cause}
	}
	adapter, known := h.Channels.Get(a.Channel)
	if !known {
		return v, nil
	}
	switch _, hooked := adapter.(channel.Webhook); {
	case a.Channel == "form":
		v.WebhookUrl = opt(h.Config.BaseURL + "/forms/" + a.Account)
	case hooked:
		v.WebhookUrl = opt(h.Config.BaseURL + "/hooks/" + a.Channel + "/" + a.Account)
	}
	if !callOf(ctx).principal.May(auth.ManageAccounts) || !slices.Contains(a.Secrets, verifyToken) {
		return v, nil
	}
	values, err := h.Secrets.Get(ctx, secretName(a.Channel, a.Account, verifyToken))
	if err != nil && !errors.Is(err, secret.ErrNotFound) {
		return v, fmt.Errorf("read the verify token of account %s/%s: %w", a.Channel, a.Account, err)
	}
	if len(values) > 0 {
		v.VerifyToken = opt(values[0])
	}
	return v, nil
}

// verifyToken is the one secret that people paste at the provider, and so are shown again.
const verifyToken = "verify_token"

// secretName is where the pipeline looks for a secret of an account.
func secretName(channelID, account, name string) string {
	return "accounts/" + channelID + "/" + account + "/" + name
}

// GetAccount implements GET /api/v1/accounts/{channel}/{account}.
func (h handlers) GetAccount(ctx context.Context, r GetAccountRequestObject) (GetAccountResponseObject, error) {
	v, err := h.account(ctx, r.Channel, r.Account)
	if err != nil {
		return nil, err
	}
	return GetAccount200JSONResponse{AccountJSONResponse(v)}, nil
}

func (h handlers) account(ctx context.Context, channelID, id string) (Account, error) {
	a, err := h.Store.ConnectedAccount(ctx, channelID, id)
	if err != nil {
		return Account{}, err
	}
	last, err := h.lastDeliveries(ctx)
	if err != nil {
		return Account{}, err
	}
	return h.viewAccount(ctx, a, last)
}

// PutAccount implements PUT /api/v1/accounts/{channel}/{account}. Secrets are written before the account names them, so that
// an account never claims a secret that is not there; repeating the request after an error is safe.
func (h handlers) PutAccount(ctx context.Context, r PutAccountRequestObject) (PutAccountResponseObject, error) {
	info, ok := h.Channels.Info(r.Channel)
	if !ok {
		return nil, nothingHere()
	}
	have, err := h.Store.ConnectedAccount(ctx, r.Channel, r.Account)
	if err != nil && fault.Of(err) != fault.Missing {
		return nil, err
	}
	if err != nil {
		have = &store.Connected{Channel: r.Channel, Account: r.Account, Team: h.Config.Team}
	}
	if have.Declared {
		return nil, fault.Newf(fault.Conflict, "declared", "the configuration file declares this account: change it there")
	}
	next := *have
	if r.Body.Team != nil {
		next.Team = *r.Body.Team
	}
	if r.Body.Settings != nil {
		next.Settings = *r.Body.Settings
	}
	if err := checkSettings(&info, h.settingsOf(&info), next.Settings, get(r.Body.Secrets)); err != nil {
		return nil, err
	}
	if adapter, ok := h.Channels.Get(r.Channel); ok {
		if own, ok := adapter.(channel.SettingsChecker); ok {
			if err := own.CheckSettings(next.Settings); err != nil {
				return nil, err
			}
		}
	}
	if next.Secrets, err = h.putSecrets(ctx, have, next.Settings[apiBase], get(r.Body.Secrets)); err != nil {
		return nil, err
	}
	if err := h.Store.PutAccount(ctx, next); err != nil {
		return nil, err
	}
	h.Pipeline.ForgetAccounts()
	h.Log.InfoContext(ctx, "account written", "channel", r.Channel, "account", r.Account, "by", callOf(ctx).principal.ID)
	v, err := h.account(ctx, r.Channel, r.Account)
	if err != nil {
		return nil, err
	}
	return PutAccount200JSONResponse{AccountJSONResponse(v)}, nil
}

// checkSettings holds settings and secrets to what the channel declares. No error repeats a value.
func checkSettings(info *channel.Info, known []channel.Setting, settings, secrets map[string]string) error {
	declared := map[string]channel.Setting{}
	for _, s := range known {
		declared[s.Name] = s
	}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		s, ok := declared[name]
		if !ok || s.Secret {
			return fault.Field("settings."+printable(name), "%s has no such setting", info.Name)
		}
		if name == apiBase {
			if err := checkBase(settings[name]); err != nil {
				return err
			}
		}
		if err := matches("settings."+name, s.Pattern, settings[name]); err != nil {
			return err
		}
	}
	for _, s := range info.Settings {
		if s.Required && !s.Secret && s.Default == "" && settings[s.Name] == "" {
			return fault.Field("settings."+s.Name, "it is missing: %s", s.Help)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(secrets)) {
		s, ok := declared[name]
		if !ok || !s.Secret {
			return fault.Field("secrets."+printable(name), "%s has no such secret", info.Name)
		}
		if strings.HasPrefix(secrets[name], "env:") || strings.HasPrefix(secrets[name], "file:") {
			return fault.Field("secrets."+name, "references resolve from the configuration file only: give the value itself")
		}
		if err := matches("secrets."+name, s.Pattern, secrets[name]); err != nil {
			return err
		}
	}
	return nil
}

func matches(field, pattern, value string) error {
	if strings.ContainsAny(value, "\x00\r") {
		return fault.Field(field, "it holds control characters")
	}
	if pattern == "" || value == "" {
		return nil
	}
	whole, err := regexp.Compile(`^(?:` + pattern + `)$`)
	if err != nil {
		return fmt.Errorf("check %s: the channel's pattern is wrong: %w", field, err)
	}
	if !whole.MatchString(value) {
		return fault.Field(field, "it does not match %s", pattern)
	}
	return nil
}

// checkBase refuses what is no base of addresses. Whether the host may be reached is decided at dial (FAULT 30).
func checkBase(text string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fault.Field("settings."+apiBase, "it is not an address like https://graph.example.com")
	}
	return nil
}

// putSecrets writes new values and says which names have one. A new value stands before the one it replaces, which stays
// valid until the next. Whoever can point an account elsewhere must not get its secrets sent there: another api_base clears
// them first.
func (h handlers) putSecrets(ctx context.Context, have *store.Connected, base string, values map[string]string) ([]string, error) {
	set := map[string]bool{}
	for _, name := range have.Secrets {
		set[name] = true
	}
	moved := base != have.Settings[apiBase]
	if moved {
		for name := range set {
			if err := h.Secrets.Delete(ctx, secretName(have.Channel, have.Account, name)); err != nil {
				return nil, fmt.Errorf("clear secret %s of account %s/%s: %w", name, have.Channel, have.Account, err)
			}
		}
		clear(set)
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		full := secretName(have.Channel, have.Account, name)
		if values[name] == "" {
			if err := h.Secrets.Delete(ctx, full); err != nil {
				return nil, fmt.Errorf("remove secret %s of account %s/%s: %w", name, have.Channel, have.Account, err)
			}
			delete(set, name)
			continue
		}
		next := []string{values[name]}
		before, err := h.Secrets.Get(ctx, full)
		if err != nil && !errors.Is(err, secret.ErrNotFound) {
			return nil, fmt.Errorf("read secret %s of account %s/%s: %w", name, have.Channel, have.Account, err)
		}
		if len(before) > 0 && before[0] == values[name] {
			next = before // the same value again is no rotation
		} else if len(before) > 0 && set[name] {
			next = append(next, before[0])
		}
		if err := h.Secrets.Put(ctx, full, next); err != nil {
			return nil, fmt.Errorf("write secret %s of account %s/%s: %w", name, have.Channel, have.Account, err)
		}
		set[name] = true
	}
	return slices.Sorted(maps.Keys(set)), nil
}

// DeleteAccount implements DELETE /api/v1/accounts/{channel}/{account}.
func (h handlers) DeleteAccount(ctx context.Context, r DeleteAccountRequestObject) (DeleteAccountResponseObject, error) {
	have, err := h.Store.ConnectedAccount(ctx, r.Channel, r.Account)
	if err != nil {
		return nil, err
	}
	if have.Declared {
		return nil, fault.Newf(fault.Conflict, "declared", "the configuration file declares this account: remove it there")
	}
	for _, name := range have.Secrets {
		if err := h.Secrets.Delete(ctx, secretName(r.Channel, r.Account, name)); err != nil {
			return nil, fmt.Errorf("remove secret %s of account %s/%s: %w", name, r.Channel, r.Account, err)
		}
	}
	if err := h.Store.DeleteAccount(ctx, r.Channel, r.Account); err != nil {
		return nil, err
	}
	h.Pipeline.ForgetAccounts()
	h.Log.InfoContext(ctx, "account deleted", "channel", r.Channel, "account", r.Account, "by", callOf(ctx).principal.ID)
	return DeleteAccount204Response{}, nil
}
