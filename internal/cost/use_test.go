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
	u := Use{SQSRequests: 2_600_000, LambdaRequests: 43_000, Alarms: 10}
	free := u.without(Always())
	if free.SQSRequests != 1_600_000 || free.LambdaRequests != 0 || free.Alarms != 0 || u.LambdaRequests != 43_000 {
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
	for _, c := range studied() {
		c.apply(&u)
		units = append(units, u.Units())
	}
	if want := []float64{10, 7, 7, 6, 5, 5}; !reflect.DeepEqual(units, want) {
		t.Errorf("units %v, want %v", units, want)
	}
}
