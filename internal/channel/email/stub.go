package email

func (r *bodyReader) calendar(p *part)              { r.parts = append(r.parts, filePart(p)) }
func (r *bodyReader) tnef(p *part)                  { r.parts = append(r.parts, filePart(p)) }
func tnefFile(b []byte, name string) ([]byte, bool) { return nil, false }
