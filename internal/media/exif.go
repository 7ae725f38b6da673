package media

import (
	"bufio"
	"encoding/binary"
	"image"
	"io"
)

// details are what the decoder of a JPEG does not tell.
type details struct {
	// orientation is Exif's (CIPA DC-008 section 4.6.4.1, tag 0x0112): 1 to 8, 1 when unknown.
	orientation int
	progressive bool
}

// readJPEG walks the segments before the picture's data. What it cannot read it leaves at its default: whether the file is whole
// is the decoder's question.
func readJPEG(r *bufio.Reader) details {
	look := details{orientation: 1}
	if _, err := r.Discard(2); err != nil { // the start of image
		return look
	}
	for {
		b, err := r.ReadByte()
		if err != nil {
			return look
		}
		if b != 0xff {
			continue // the decoder skips stray bytes between segments too
		}
		for b == 0xff { // fill bytes
			if b, err = r.ReadByte(); err != nil {
				return look
			}
		}
		if b == 0 || b == 0x01 || b >= 0xd0 && b <= 0xd8 { // without a length
			continue
		}
		var length [2]byte
		if _, err := io.ReadFull(r, length[:]); err != nil {
			return look
		}
		size := int(binary.BigEndian.Uint16(length[:])) - 2
		switch {
		case b == 0xda || b == 0xd9 || size < 0: // the data begins, or the end
			return look
		case b == 0xc2 || b == 0xc6 || b == 0xca || b == 0xce:
			look.progressive = true
		case b == 0xe1:
			segment := make([]byte, size)
			if _, err := io.ReadFull(r, segment); err != nil {
				return look
			}
			if o := orientation(segment); o != 0 {
				look.orientation = o
			}
			continue
		}
		if _, err := r.Discard(size); err != nil {
			return look
		}
	}
}

// orientation reads an APP1 segment; 0 when it does not say.
func orientation(segment []byte) int {
	const start = "Exif\x00\x00"
	if len(segment) < len(start)+8 || string(segment[:len(start)]) != start {
		return 0
	}
	tiff := segment[len(start):]
	var order binary.ByteOrder
	switch string(tiff[:4]) {
	case "II*\x00":
		order = binary.LittleEndian
	case "MM\x00*":
		order = binary.BigEndian
	default:
		return 0
	}
	at := uint64(order.Uint32(tiff[4:]))
	if at+2 > uint64(len(tiff)) {
		return 0
	}
	entries := uint64(order.Uint16(tiff[at:]))
	for i := range entries {
		entry := at + 2 + 12*i
		if entry+12 > uint64(len(tiff)) {
			return 0
		}
		const tag, short = 0x0112, 3
		if order.Uint16(tiff[entry:]) == tag && order.Uint16(tiff[entry+2:]) == short {
			if o := int(order.Uint16(tiff[entry+8:])); o >= 1 && o <= 8 {
				return o
			}
			return 0
		}
	}
	return 0
}

// turn gives img the orientation that it is to be seen in.
func turn(img *image.RGBA, orientation int) *image.RGBA {
	if orientation <= 1 || orientation > 8 {
		return img
	}
	w, h := img.Rect.Dx(), img.Rect.Dy()
	outW, outH := w, h
	if orientation >= 5 { // rows become columns
		outW, outH = h, w
	}
	out := image.NewRGBA(image.Rect(0, 0, outW, outH))
	for y := range outH {
		for x := range outW {
			// Where the pixel that belongs at (x, y) lies in what was stored.
			var sx, sy int
			switch orientation {
			case 2:
				sx, sy = w-1-x, y
			case 3:
				sx, sy = w-1-x, h-1-y
			case 4:
				sx, sy = x, h-1-y
			case 5:
				sx, sy = y, x
			case 6:
				sx, sy = y, h-1-x
			case 7:
				sx, sy = w-1-y, h-1-x
			case 8:
				sx, sy = w-1-y, x
			}
			copy(out.Pix[out.PixOffset(x, y):][:4], img.Pix[img.PixOffset(sx, sy):][:4])
		}
	}
	return out
}
