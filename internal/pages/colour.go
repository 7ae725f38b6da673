package pages

import (
	"fmt"
	"math"
	"strconv"
)

// colour is an sRGB colour, 0 to 255 each.
type colour [3]float64

func parseColour(hex string) (colour, bool) {
	if len(hex) != 7 || hex[0] != '#' {
		return colour{}, false
	}
	n, err := strconv.ParseUint(hex[1:], 16, 24)
	return colour{float64(n >> 16), float64(n >> 8 & 255), float64(n & 255)}, err == nil
}

func (c colour) String() string { return fmt.Sprintf("#%02x%02x%02x", int(c[0]), int(c[1]), int(c[2])) }

// luminance is the relative luminance of WCAG 2.2.
func (c colour) luminance() float64 {
	linear := func(v float64) float64 {
		if v /= 255; v <= 0.04045 {
			return v / 12.92
		}
		return math.Pow((v+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(c[0]) + 0.7152*linear(c[1]) + 0.0722*linear(c[2])
}

// contrast is the contrast ratio of WCAG 2.2, 1 to 21.
func contrast(a, b colour) float64 {
	x, y := a.luminance(), b.luminance()
	return (math.Max(x, y) + 0.05) / (math.Min(x, y) + 0.05)
}

// readable is c, moved towards the given end until text in it can be read on the ground: a ratio of 4.5 (WCAG 2.2, 1.4.3).
func (c colour) readable(ground, end colour) colour {
	for step := 0.0; step <= 1; step += 0.05 {
		var mixed colour
		for i := range mixed {
			mixed[i] = math.Round(c[i] + (end[i]-c[i])*step)
		}
		if contrast(mixed, ground) >= 4.5 {
			return mixed
		}
	}
	return end
}

// palette is the style's variables for an accent: the button and what stands on it, and links on a light and a dark ground.
func palette(accent string) string {
	c, ok := parseColour(accent)
	if !ok {
		c = colour{0x0b, 0x5c, 0xad}
	}
	white, black := colour{255, 255, 255}, colour{0, 0, 0}
	light, dark := white, colour{0x14, 0x18, 0x1d} // as in style.css
	on := white
	if contrast(c, white) < contrast(c, black) {
		on = black
	}
	return fmt.Sprintf(":root{--accent:%s;--on:%s;--link:%s}@media(prefers-color-scheme:dark){:root{--link:%s}}",
		c, on, c.readable(light, black), c.readable(dark, white))
}
