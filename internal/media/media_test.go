package media_test

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"mime"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/aikajana/aikajana/internal/blob"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/media"
	"github.com/aikajana/aikajana/internal/msg"
)

func TestTypeComesFromTheBytes(t *testing.T) {
	t.Parallel()
	var zipped bytes.Buffer
	if err := zip.NewWriter(&zipped).Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ head, want string }{
		{"\xff\xd8\xff\xe0\x00\x10JFIF", "image/jpeg"},
		{"<!DOCTYPE html><html>", "text/html"},
		{"<svg xmlns=\"http://www.w3.org/2000/svg\"></svg>", "image/svg+xml"},
		{"%PDF-1.7\n", "application/pdf"},
		{"OggS\x00\x02" + strings.Repeat("\x00", 20) + "\x01\x13OpusHead\x01\x02", "audio/ogg"},
		{"#!AMR\n", "audio/amr"},
		{"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom", "video/mp4"},
		{"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"},
		{zipped.String(), "application/zip"},
		{"hello", "text/plain"},
		{"\x00\x01\x02\x03", "application/octet-stream"},
	} {
		if got := media.Type([]byte(c.head)); got != c.want {
			t.Errorf("%.20q is %s, want %s", c.head, got, c.want)
		}
	}
}

func TestKindFollowsTheTypeAndKeepsWhatTheChannelMeant(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		claimed msg.PartKind
		of      string
		want    msg.PartKind
	}{
		{msg.PartFile, "image/png", msg.PartImage}, {msg.PartImage, "text/html", msg.PartFile}, {msg.PartImage, "image/svg+xml", msg.PartFile},
		{msg.PartVoice, "audio/ogg", msg.PartVoice}, {msg.PartVoice, "video/webm", msg.PartVoice}, {msg.PartVoice, "application/pdf", msg.PartFile},
		{msg.PartSticker, "image/webp", msg.PartSticker}, {msg.PartSticker, "video/webm", msg.PartSticker}, {msg.PartSticker, "text/html", msg.PartFile},
		{msg.PartAudio, "video/mp4", msg.PartAudio}, {"", "video/mp4", msg.PartVideo}, {"", "application/ogg", msg.PartAudio}, {msg.PartVideo, "image/gif", msg.PartImage},
	} {
		if got := media.Kind(c.claimed, c.of); got != c.want {
			t.Errorf("%s said to be %q is %s, want %s", c.of, c.claimed, got, c.want)
		}
	}
}

func TestFault34_OnlyReencodedPicturesAudioAndVideoAreShownInPlace(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		of        string
		reencoded bool
		inline    bool
	}{
		{"text/html", false, false}, {"image/svg+xml", false, false}, {"application/pdf", false, false}, {"image/png", false, false}, {"image/jpeg", false, false},
		{"text/html", true, false}, {"image/svg+xml", true, false}, {"", true, false}, {"text/plain", false, false}, {"application/xhtml+xml", false, false},
		{"image/jpeg", true, true}, {"audio/ogg", false, true}, {"audio/amr", false, true}, {"video/mp4", false, true}, {"video/x-unknown", false, false},
	} {
		got := media.Serve(c.of, c.reencoded, "a.html")
		want := media.Octets
		how := "attachment"
		if c.inline {
			want, how = c.of, "inline"
		}
		if got.Type != want || got.Disposition != how+`; filename="a.html"` {
			t.Errorf("%s, re-encoded %v: %+v, want %s %s", c.of, c.reencoded, got, want, how)
		}
	}
}

func TestFault35_HostileNamesBecomeHarmlessDisplayNames(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"../../etc/passwd": "passwd", `..\..\boot.ini`: "boot.ini", "/": "file", "": "file", "..": "file", ".": "file", ".htaccess": "htaccess", "a/b/": "file",
		"invoice_\u202egpj.exe": "invoice_gpj.exe", "a\x00.png": "a.png", "pass\u200bword.\ufefftxt": "password.txt", "a\u2066b\u2069.pdf": "ab.pdf",
		"\u200b\u200d": "file", "a\r\nSet-Cookie: x.txt": "a Set-Cookie_ x.txt", "a\tb   c.txt ": "a b c.txt", "name.": "name", "CON": "_CON", "nul.txt": "_nul.txt",
		"com1.tar.gz": "_com1.tar.gz", "console.txt": "console.txt", "a\"b<c>|d?*.txt": "a_b_c__d__.txt", "A\u0308ijä.pdf": "Äijä.pdf", "\xff\xfe.txt": "\ufffd.txt",
		"kuva 1.jpeg": "kuva 1.jpeg", "日本語.txt": "日本語.txt", "a\ue000b": "ab", "\u3164": "file", "e\u0301\u0301\u0301\u0301\u0301\u0301\u0301.txt": "é\u0301\u0301\u0301.txt",
		"a\u2028b": "a b", "tag\U000E0041x": "tagx",
	} {
		if got := media.Name(raw); got != want {
			t.Errorf("%q becomes %q, want %q", raw, got, want)
		}
	}
	long := media.Name(strings.Repeat("ä", 300) + ".jpeg")
	if len(long) > 200 || !strings.HasSuffix(long, "ä.jpeg") {
		t.Errorf("a long name becomes %q (%d bytes)", long, len(long))
	}
}

func FuzzName(f *testing.F) {
	for _, seed := range []string{"a.txt", "../x", "\u202egpj.exe", "CON.", " . .a", "\xff/\x00", strings.Repeat("é.", 200), "a\u0301", "nul . x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		got := media.Name(raw)
		if got == "" || len(got) > 201 || !utf8.ValidString(got) || strings.ContainsAny(got, `/\<>:"|?*`) || got[0] == '.' || strings.TrimSpace(got) != got {
			t.Fatalf("%q becomes %q", raw, got)
		}
		for _, r := range got {
			if !unicode.IsGraphic(r) {
				t.Fatalf("%q becomes %q, which holds %U", raw, got, r)
			}
		}
		if again := media.Name(got); again != got {
			t.Fatalf("%q becomes %q and then %q", raw, got, again)
		}
		served := media.Serve("text/html", false, raw)
		if err := blob.CheckLink(blob.Link{TTL: blob.MaxLink, Type: served.Type, Disposition: served.Disposition}); err != nil {
			t.Fatalf("%q: %v", raw, err)
		}
		how, params, err := mime.ParseMediaType(served.Disposition)
		if err != nil || how != "attachment" || params["filename"] == "" {
			t.Fatalf("%q is served with %q: %v", raw, served.Disposition, err)
		}
	})
}

// quarters is a picture whose corners have colours of their own.
func quarters(w, h int) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			c := [2][2]color.NRGBA{{red, green}, {blue, clear}}[y*2/h][x*2/w]
			img.SetNRGBA(x, y, c)
		}
	}
	return img
}

var (
	red, green = color.NRGBA{R: 255, A: 255}, color.NRGBA{G: 255, A: 255}
	blue       = color.NRGBA{B: 255, A: 255}
	clear      = color.NRGBA{}
)

func encodeJPEG(t testing.TB, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 95}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func encodePNG(t testing.TB, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// withExif puts an APP1 segment behind the start of the JPEG: the orientation, and a place as cameras add it.
func withExif(picture []byte, order binary.AppendByteOrder, orientation uint16) []byte {
	mark := "II*\x00"
	if order.String() == "BigEndian" {
		mark = "MM\x00*"
	}
	tiff := order.AppendUint32([]byte(mark), 8)
	tiff = order.AppendUint16(tiff, 1)
	tiff = order.AppendUint16(tiff, 0x0112)
	tiff = order.AppendUint16(tiff, 3)
	tiff = order.AppendUint32(tiff, 1)
	tiff = order.AppendUint16(tiff, orientation)
	tiff = append(tiff, "\x00\x00\x00\x00\x00\x00GPS canary 60.17N"...)
	segment := append([]byte("Exif\x00\x00"), tiff...)
	out := append([]byte{0xff, 0xd8, 0xff, 0xe1}, binary.BigEndian.AppendUint16(nil, uint16(len(segment)+2))...)
	return append(append(out, segment...), picture[2:]...)
}

func decode(t testing.TB, e media.Encoded) image.Image {
	t.Helper()
	img, err := jpeg.Decode(bytes.NewReader(e.JPEG))
	if err != nil {
		t.Fatal(err)
	}
	if got := img.Bounds().Size(); got != image.Pt(e.Width, e.Height) {
		t.Fatalf("the picture is %v, and is said to be %d by %d", got, e.Width, e.Height)
	}
	return img
}

// corner names the colour in a corner: r, g, b or w.
func corner(img image.Image, right, bottom bool) string {
	b := img.Bounds()
	x, y := b.Min.X+b.Dx()/8, b.Min.Y+b.Dy()/8
	if right {
		x = b.Max.X - 1 - b.Dx()/8
	}
	if bottom {
		y = b.Max.Y - 1 - b.Dy()/8
	}
	r, g, bl, _ := img.At(x, y).RGBA()
	switch {
	case r > 0xc000 && g > 0xc000 && bl > 0xc000:
		return "w"
	case r > 0xc000:
		return "r"
	case g > 0xc000:
		return "g"
	case bl > 0xc000:
		return "b"
	}
	return "?"
}

func corners(img image.Image) string {
	return corner(img, false, false) + corner(img, true, false) + corner(img, false, true) + corner(img, true, true)
}

const webpSample = "UklGRiQAAABXRUJQVlA4IBgAAAAwAQCdASoBAAEAAQAcJaQAA3AA/v3AgAA="

func TestThumbnailOfEveryKindOfPicture(t *testing.T) {
	t.Parallel()
	var moving bytes.Buffer
	frame := image.NewPaletted(image.Rect(0, 0, 640, 480), color.Palette{red, green, blue, clear})
	for y := range 480 {
		for x := range 640 {
			frame.Set(x, y, quarters(2, 2).NRGBAAt(x/320, y/240))
		}
	}
	if err := gif.EncodeAll(&moving, &gif.GIF{Image: []*image.Paletted{frame, frame}, Delay: []int{1, 1}}); err != nil {
		t.Fatal(err)
	}
	opaque := quarters(640, 480)
	for y := 240; y < 480; y++ {
		for x := 320; x < 640; x++ {
			opaque.Set(x, y, color.White)
		}
	}
	for what, picture := range map[string][]byte{"jpeg": encodeJPEG(t, opaque), "png": encodePNG(t, quarters(640, 480)), "gif": moving.Bytes()} {
		got, err := media.Thumbnail(bytes.NewReader(picture))
		if err != nil || got.Width != 320 || got.Height != 240 {
			t.Errorf("%s: %d by %d, %v", what, got.Width, got.Height, err)
			continue
		}
		if c := corners(decode(t, got)); c != "rgbw" { // what was transparent is white
			t.Errorf("%s: corners %s", what, c)
		}
	}
	webp, err := base64.StdEncoding.DecodeString(webpSample)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := media.Thumbnail(bytes.NewReader(webp)); err != nil || got.Width != 1 || got.Height != 1 {
		t.Errorf("webp: %d by %d, %v", got.Width, got.Height, err)
	}
	for _, c := range []struct{ w, h, wantW, wantH int }{{10, 20, 10, 20}, {320, 320, 320, 320}, {321, 10, 320, 9}, {5000, 1, 320, 1}, {1, 5000, 1, 320}, {1000, 333, 320, 106}} {
		got, err := media.Thumbnail(bytes.NewReader(encodePNG(t, quarters(c.w, c.h))))
		if err != nil || got.Width != c.wantW || got.Height != c.wantH {
			t.Errorf("%d by %d becomes %d by %d, %v; want %d by %d", c.w, c.h, got.Width, got.Height, err, c.wantW, c.wantH)
		}
	}
	if got, err := media.Picture(bytes.NewReader(encodePNG(t, quarters(3000, 1500)))); err != nil || got.Width != 2048 || got.Height != 1024 {
		t.Errorf("a large picture becomes %d by %d, %v", got.Width, got.Height, err)
	}
}

func TestThumbnailIsTheRightWayUpAndTellsNoPlace(t *testing.T) {
	t.Parallel()
	opaque := quarters(64, 32)
	for y := 16; y < 32; y++ {
		for x := 32; x < 64; x++ {
			opaque.Set(x, y, color.White)
		}
	}
	plain := encodeJPEG(t, opaque)
	// Stored: red green above blue white. What is seen follows from Exif's definition of the eight orientations.
	for o, want := range map[uint16]string{1: "rgbw", 2: "grwb", 3: "wbgr", 4: "bwrg", 5: "rbgw", 6: "brwg", 7: "wgbr", 8: "gwrb", 0: "rgbw", 9: "rgbw"} {
		for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
			got, err := media.Thumbnail(bytes.NewReader(withExif(plain, order, o)))
			if err != nil {
				t.Fatalf("orientation %d: %v", o, err)
			}
			if c := corners(decode(t, got)); c != want || (got.Width < got.Height) != (o >= 5 && o <= 8) {
				t.Errorf("orientation %d: corners %s, %d by %d; want %s", o, c, got.Width, got.Height, want)
			}
			if bytes.Contains(got.JPEG, []byte("canary")) || bytes.Contains(got.JPEG, []byte("Exif")) {
				t.Errorf("orientation %d: metadata survived", o)
			}
		}
	}
}

// pngBomb claims w by h pixels in a few bytes.
func pngBomb(w, h uint32, depth, colour byte) []byte {
	chunk := binary.BigEndian.AppendUint32([]byte("IHDR"), w)
	chunk = binary.BigEndian.AppendUint32(chunk, h)
	chunk = append(chunk, depth, colour, 0, 0, 0)
	out := binary.BigEndian.AppendUint32([]byte("\x89PNG\r\n\x1a\n"), 13)
	out = append(out, chunk...)
	return binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(chunk))
}

func TestPictureThatClaimsToBeHugeIsNotDecoded(t *testing.T) {
	t.Parallel()
	progressive := encodeJPEG(t, quarters(16, 16))
	i := bytes.Index(progressive, []byte{0xff, 0xc0})
	progressive[i+1] = 0xc2
	copy(progressive[i+5:], []byte{0x13, 0x88, 0x13, 0x88}) // 5000 by 5000
	for what, picture := range map[string][]byte{
		"png of 100,000 by 100,000":        pngBomb(100_000, 100_000, 8, 6),
		"png of 2^31-1 squared":            pngBomb(1<<31-1, 1<<31-1, 8, 6),
		"png of 6,000 squared in 16 bits":  pngBomb(6_000, 6_000, 16, 6),
		"gif of 65,535 squared":            []byte("GIF89a\xff\xff\xff\xff\x80\x00\x00\x00\x00\x00\xff\xff\xff"),
		"progressive jpeg of 5,000 square": progressive,
	} {
		_, err := media.Thumbnail(bytes.NewReader(picture))
		if fault.Of(err) != fault.Permanent || (fault.Code(err) != "too_large" && fault.Code(err) != "no_picture") {
			t.Errorf("%s: %v", what, err)
		}
		if strings.Contains(what, "100,000") || strings.Contains(what, "16 bits") || strings.Contains(what, "progressive") {
			if fault.Code(err) != "too_large" {
				t.Errorf("%s: %v, want too_large", what, err)
			}
		}
	}
}

func TestWhatIsNoPictureIsRefusedForGood(t *testing.T) {
	t.Parallel()
	whole := encodePNG(t, quarters(50, 50))
	for what, data := range map[string][]byte{
		"nothing": nil, "text": []byte("hello"), "svg": []byte("<svg xmlns='http://www.w3.org/2000/svg'/>"), "half a png": whole[:len(whole)/2], "a jpeg's start": []byte("\xff\xd8\xff\xe0\x00\x10JFIF"),
	} {
		if _, err := media.Thumbnail(bytes.NewReader(data)); fault.Of(err) != fault.Permanent || fault.Code(err) != "no_picture" {
			t.Errorf("%s: %v, want no_picture for good", what, err)
		}
	}
}

func FuzzThumbnail(f *testing.F) {
	small := encodeJPEG(f, quarters(8, 8))
	webp, err := base64.StdEncoding.DecodeString(webpSample)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range [][]byte{small, withExif(small, binary.BigEndian, 6), encodePNG(f, quarters(8, 8)), webp, pngBomb(9, 9, 8, 6), []byte("GIF89a\x01\x00\x01\x00\x80\x00\x00")} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 64<<10 {
			return
		}
		got, err := media.Thumbnail(bytes.NewReader(data))
		if err != nil {
			if fault.Of(err) != fault.Permanent {
				t.Fatalf("%v (%s)", err, fault.Of(err))
			}
			return
		}
		if got.Width < 1 || got.Height < 1 || max(got.Width, got.Height) > media.ThumbnailSide {
			t.Fatalf("%d by %d", got.Width, got.Height)
		}
	})
}

func BenchmarkThumbnailOfTwelveMegapixels(b *testing.B) {
	picture := encodeJPEG(b, quarters(4000, 3000))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := media.Thumbnail(bytes.NewReader(picture)); err != nil {
			b.Fatal(err)
		}
	}
}
