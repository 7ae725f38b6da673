package media

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"

	"golang.org/x/image/webp"

	"github.com/aikajana/aikajana/internal/fault"
)

// ThumbnailSide is the longest side of a thumbnail in pixels, PictureSide that of a picture shown whole.
const (
	ThumbnailSide = 320
	PictureSide   = 2048
)

// Bounds on what is decoded: a picture of a few bytes can claim to be gigabytes large.
const (
	maxPixels = 60_000_000
	// maxMemory is what decoding may take, by the estimate of [weight]. A Lambda that fetches needs this and 150 MB.
	maxMemory = 256 << 20
)

// Encoded is a picture made here: a JPEG without any of the original's metadata, the right way up.
type Encoded struct {
	JPEG          []byte
	Width, Height int
}

// Thumbnail makes a small picture, at most ThumbnailSide wide and high, of a JPEG, PNG, GIF (its first frame) or WebP. It never
// enlarges. Errors are of kind fault.Permanent: "too_large" for more pixels than are decoded, "no_picture" for what is not a
// picture of these kinds or is damaged.
func Thumbnail(r io.ReadSeeker) (Encoded, error) { return scaled(r, ThumbnailSide) }

// Picture encodes a picture anew, at most PictureSide wide and high, for showing it in place. Kinds and errors are those of
// [Thumbnail].
func Picture(r io.ReadSeeker) (Encoded, error) { return scaled(r, PictureSide) }

// format is one kind of picture. The standard library's registry of formats is not used: it is state of the process, and what
// is in it depends on who else was linked in.
type format struct {
	config func(io.Reader) (image.Config, error)
	decode func(io.Reader) (image.Image, error)
}

func formatOf(mediaType string) (format, bool) {
	switch mediaType {
	case "image/jpeg":
		return format{jpeg.DecodeConfig, jpeg.Decode}, true
	case "image/png", "image/vnd.mozilla.apng":
		return format{png.DecodeConfig, png.Decode}, true
	case "image/gif":
		return format{gif.DecodeConfig, gif.Decode}, true
	case "image/webp":
		return format{webp.DecodeConfig, webp.Decode}, true
	}
	return format{}, false
}

func scaled(r io.ReadSeeker, side int) (_ Encoded, err error) {
	// Decoders of other people's formats have panicked on hostile input before; one picture must not end the process.
	defer func() {
		if p := recover(); p != nil {
			err = noPicture("the decoder gave up: %v", p)
		}
	}()
	head := make([]byte, HeadLength)
	n, err := io.ReadFull(r, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return Encoded{}, fmt.Errorf("read a picture: %w", err)
	}
	mediaType := Type(head[:n])
	f, ok := formatOf(mediaType)
	if !ok {
		return Encoded{}, noPicture("%s is not a kind of picture that is shown", mediaType)
	}
	look, err := inspect(r, f, mediaType)
	if err != nil {
		return Encoded{}, err
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return Encoded{}, fmt.Errorf("read a picture: %w", err)
	}
	img, err := f.decode(bufio.NewReader(r))
	if err != nil {
		return Encoded{}, noPicture("it is damaged: %w", err)
	}
	small := turn(shrink(img, side), look.orientation)
	var out bytes.Buffer
	if err := jpeg.Encode(&out, small, &jpeg.Options{Quality: 82}); err != nil {
		return Encoded{}, fmt.Errorf("encode a picture: %w", err)
	}
	return Encoded{JPEG: out.Bytes(), Width: small.Rect.Dx(), Height: small.Rect.Dy()}, nil
}

// inspect reads only the headers, and refuses what would take too much to decode.
func inspect(r io.ReadSeeker, f format, mediaType string) (details, error) {
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return details{}, fmt.Errorf("read a picture: %w", err)
	}
	config, err := f.config(bufio.NewReader(r))
	if err != nil {
		return details{}, noPicture("it is damaged: %w", err)
	}
	look := details{orientation: 1}
	if mediaType == "image/jpeg" {
		if _, err := r.Seek(0, io.SeekStart); err != nil {
			return details{}, fmt.Errorf("read a picture: %w", err)
		}
		look = readJPEG(bufio.NewReader(r))
	}
	if config.Width < 1 || config.Height < 1 {
		return details{}, noPicture("it has no size")
	}
	if pixels := int64(config.Width) * int64(config.Height); pixels > maxPixels || pixels*weight(config.ColorModel, look) > maxMemory {
		return details{}, fault.Newf(fault.Permanent, "too_large", "decode a picture: %d by %d pixels are more than is safe", config.Width, config.Height)
	}
	return look, nil
}

// weight is how many bytes a pixel takes while it is decoded, at most.
func weight(model color.Model, look details) int64 {
	if look.progressive {
		return 20 // a progressive JPEG keeps the coefficients, 4 bytes for each of up to 4 components, beside the picture
	}
	switch model {
	case color.GrayModel:
		return 1
	case color.Gray16Model:
		return 2
	case color.YCbCrModel:
		return 3
	case color.NRGBA64Model, color.RGBA64Model:
		return 8
	}
	if _, ok := model.(color.Palette); ok {
		return 1
	}
	return 4
}

// shrink draws img on white, at most side wide and high: each pixel is the mean of those that it stands for. It works in strips of
// a few rows, so it takes little memory beside the two pictures; the kernels of x/image/draw keep a float per channel for every
// row of the source, 400 MB for a large photograph.
func shrink(img image.Image, side int) *image.RGBA {
	from := img.Bounds()
	w, h := from.Dx(), from.Dy()
	if longest := max(w, h); longest > side {
		w, h = max(1, w*side/longest), max(1, h*side/longest)
	}
	out := image.NewRGBA(image.Rect(0, 0, w, h))
	strip := image.NewRGBA(image.Rect(0, 0, from.Dx(), from.Dy()/h+1))
	for y := range h {
		top, bottom := y*from.Dy()/h, (y+1)*from.Dy()/h
		rows := image.Rect(0, 0, from.Dx(), bottom-top)
		draw.Draw(strip, rows, image.White, image.Point{}, draw.Src)
		draw.Draw(strip, rows, img, image.Pt(from.Min.X, from.Min.Y+top), draw.Over)
		for x := range w {
			left, right := x*from.Dx()/w, (x+1)*from.Dx()/w
			mean(out.Pix[out.PixOffset(x, y):][:4], strip, left, right, bottom-top)
		}
	}
	return out
}

// mean writes to pixel the mean of the strip's columns left to right.
func mean(pixel []byte, strip *image.RGBA, left, right, rows int) {
	var r, g, b int
	for y := range rows {
		line := strip.Pix[y*strip.Stride+4*left : y*strip.Stride+4*right]
		for ; len(line) >= 4; line = line[4:] {
			r += int(line[0])
			g += int(line[1])
			b += int(line[2])
		}
	}
	n := rows * (right - left)
	pixel[0], pixel[1], pixel[2], pixel[3] = byte((r+n/2)/n), byte((g+n/2)/n), byte((b+n/2)/n), 0xff
}

func noPicture(why string, args ...any) error {
	return fault.Newf(fault.Permanent, "no_picture", "decode a picture: "+why, args...)
}
