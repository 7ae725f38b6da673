package dynamo

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Bodies are packed where that saves a write unit (1 KB): an entry with its raw input is a little over one, and half of it is
// field names. The attribute z takes the place of b then; its first byte names the dictionary that it was packed with, so
// that a better one can be added. A dictionary that was ever used stays here for ever, byte for byte.

// dictionary1 is JSON of the store as it usually is, the most common last, as DEFLATE wants it (RFC 1951; RFC 1950 section
// 2.2 for what a dictionary is).
const dictionary1 = `{"customer":"","created":"2026-","identities":[{"kind":"email.unverified","value":"","name":""}],"open":{"":{"case":"","opened":""}},` +
	`"reference":"R-","subject":"","reason":"","tags":[],"in":1,"out":0,"last_entry":"2026-","next_due":"2026-","promise":"","waiting":"","solved":"snoozed"` +
	`"native":{"message_id":"","in_reply_to":"","references":["","full_text":"","quoted":"","parts":[{"kind":"image","media":{"id":"","url":"https://` +
	`","type":"image/jpeg","name":"","size":0,"state":"waiting"},"text":""}]},"reply_to":"","tag":"","automatic":true,"unverified":true,"public":true,` +
	`"delivery":{"due":"2026-","attempt":1,"to":{"kind":"email","value":"@"}},"agent":"","assignee":"","raw_blob":"raw/","envelope":"mail-` +
	`"channel":"email","account":"main","channel":"webhook","channel":"form","scope":"form-","kind":"signal","type":"","source":"//","data":{},"fields":{}` +
	`{"channel":"whatsapp","account":"main","scope":"1","id":"wamid.HQ","kind":"message","time":"2026-11-23T06:33:40.000Z","direction":"in","public":false,` +
	`"from":{"kind":"whatsapp.phone","value":"358","name":"","also":[{"kind":"whatsapp.user","value":"FI."}]},"thread":"","message":{"subject":"","text":"` +
	`"},"entry":"","case":"","customer":"","sort":"2026-","received_at":"2026-","stored_at":"2026-","changed_at":"2026-","late":false,"state":"received",` +
	`"team":"support","opens":true,"raw":"","envelope":""}`

// packedBy1 marks what was packed with dictionary1.
const packedBy1 = 1

// maxUnpacked bounds what a packed body may become: an item's limit is far below.
const maxUnpacked = 4 << 20

// packer reuses what flate allocates, about a megabyte for each writer.
type packer struct{ pool sync.Pool }

// pack makes the item's body smaller where that makes the item cheaper to write.
func (p *packer) pack(item map[string]types.AttributeValue) {
	body, ok := item["b"].(*types.AttributeValueMemberB)
	if !ok {
		return
	}
	size := sizeOf(item)
	if size <= 1024 {
		return
	}
	var out bytes.Buffer
	out.WriteByte(packedBy1)
	w, ok := p.pool.Get().(*flate.Writer)
	if ok {
		w.Reset(&out)
	} else {
		w, _ = flate.NewWriterDict(&out, flate.DefaultCompression, []byte(dictionary1)) // the level is a constant that it knows
	}
	_, _ = w.Write(body.Value) // a bytes.Buffer takes everything
	_ = w.Close()
	p.pool.Put(w)
	if writeUnits(size-len(body.Value)+out.Len()) < writeUnits(size) {
		delete(item, "b")
		item["z"] = &types.AttributeValueMemberB{Value: out.Bytes()}
	}
}

// unpack is the body of a packed one.
func unpack(b []byte) ([]byte, error) {
	if len(b) == 0 || b[0] != packedBy1 {
		return nil, fmt.Errorf("z was packed by a later version: %w", errAttribute)
	}
	r := flate.NewReaderDict(bytes.NewReader(b[1:]), []byte(dictionary1))
	body, err := io.ReadAll(io.LimitReader(r, maxUnpacked+1))
	if err != nil || len(body) > maxUnpacked {
		return nil, fmt.Errorf("z cannot be unpacked: %w", errAttribute)
	}
	return body, nil
}
