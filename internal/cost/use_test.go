package cost

import (
	"math"
	"reflect"
	"testing"
)

func TestEveryQuantityIsAddedUp(t *testing.T) {
	t.Parallel()
	one := Use{ByKind: map[string]float64{"entry": 2}, Milliseconds: map[string]float64{"react": 10}, Calls: map[string]float64{"react": 1}}
	v := reflect.ValueOf(&one).Elem()
	for i := range v.NumField() {
		if v.Field(i).Kind() == reflect.Float64 {
			v.Field(i).SetFloat(float64(i + 1))
		}
	}
	var sum Use
	sum.Add(&one, 2)
	sum.Add(&one, 1)
	got := reflect.ValueOf(&sum).Elem()
	for i := range v.NumField() {
		if v.Field(i).Kind() == reflect.Float64 && got.Field(i).Float() != 3*float64(i+1) {
			t.Errorf("%s: %v, want %v", v.Type().Field(i).Name, got.Field(i).Float(), 3*float64(i+1))
		}
	}
	if sum.ByKind["entry"] != 6 || sum.Milliseconds["react"] != 30 || sum.Calls["react"] != 3 || one.ByKind["entry"] != 2 {
		t.Errorf("by kind %v, milliseconds %v, calls %v", sum.ByKind, sum.Milliseconds, sum.Calls)
	}
}

func TestBillIsTheQuantitiesAtTheirPrices(t *testing.T) {
	t.Parallel()
	u := Use{
		HTTPRequests: 1e6, WriteUnits: 6e6, IndexUnits: 2e6, ReadUnits: 4e6, LambdaRequests: 2e6, LambdaGBSeconds: 10_000, SQSRequests: 1.2e6,
		LogBytes: 1e9, S3Puts: 1e5, MailsIn: 1000, MailChunksIn: 1000,
	}
	want := 1 + 8*0.625 + 4*0.125 + 2*0.2 + 0.133334 + 1.2*0.4 + 0.5 + 0.5 + 0.19
	if got := Total(u.Bill(Virginia())); math.Abs(got-want) > 1e-9 {
		t.Errorf("%.6f dollars, want %.6f", got, want)
	}
}

func TestFreeTierTakesAwayAtMostWhatIsThere(t *testing.T) {
	t.Parallel()
	u := Use{SQSRequests: 2_600_000, LambdaRequests: 43_000, AlarmMetrics: 10}
	free := u.without(Always())
	if free.SQSRequests != 1_600_000 || free.LambdaRequests != 0 || free.AlarmMetrics != 0 || u.LambdaRequests != 43_000 {
		t.Errorf("left: %+v", free)
	}
	if got := Total(free.Bill(Virginia())); math.Abs(got-0.64) > 1e-9 {
		t.Errorf("%.4f dollars, want 0.64: the pollers beyond the free million", got)
	}
}

func TestStudiedSavingsNeverTakeMoreThanThereIs(t *testing.T) {
	t.Parallel()
	u := Use{
		HTTPRequests: 1, WriteUnits: 8, IndexUnits: 2, ReadUnits: 5,
		ByKind: map[string]float64{"entry": 2, "case header": 2, "case header, in an index": 2, "external ID": 2, "notification": 1, "tally": 1},
	}
	var units []float64
	for _, c := range studied(&Assumptions{}) {
		c.apply(&u)
		units = append(units, u.Units())
	}
	if want := []float64{10, 7, 7, 6, 5, 5}; !reflect.DeepEqual(units, want) {
		t.Errorf("units %v, want %v", units, want)
	}
}

func TestFrameCountsOnceForEach32KBBegun(t *testing.T) {
	t.Parallel()
	for size, want := range map[int]int64{0: 1, 1: 1, 32 << 10: 1, 32<<10 + 1: 2, 100 << 10: 4} {
		if got := frames(make([]byte, size)); got != want {
			t.Errorf("%d bytes count for %d messages, want %d", size, got, want)
		}
	}
}

func TestBusyDeskLooksAtSessionsSeldomer(t *testing.T) {
	t.Parallel()
	m := &Measured{
		Pushed: map[string]map[string]*Use{"whatsapp": {Alone: {ReadUnits: 9}}},
		Desks:  map[int]*Heard{500: {AfterPause: &Use{ReadUnits: 1009}, AtOnce: &Use{ReadUnits: 9}}},
	}
	d, a := DeskOf(500), &Assumptions{Shards: 4}
	seconds := d.Days * d.Hours * 3600
	for _, of := range []struct{ pushes, reads float64 }{
		{0, 1000},                   // each comes after a pause
		{seconds * 4 / 15, 500},     // each shard's instance hears of one in the time in which it remembers
		{seconds * 4 * 999 / 15, 1}, // of a thousand one
	} {
		further := d.further(m, a, of.pushes)
		if got := further.ReadUnits; math.Abs(got-of.reads) > 1e-6 {
			t.Errorf("%.0f pushes in a month: each reads %.2f more than one to a single agent, want %.2f", of.pushes, got, of.reads)
		}
	}
}
