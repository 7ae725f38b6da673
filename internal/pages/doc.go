// Package pages is what customers see of Aikajana in a browser: the web form, the page that says where their matter stands,
// and the page on which the first administrator chooses a password.
//
// The pages need no JavaScript. They follow WCAG 2.2 AA: every input has a label, every error is listed on top with a link to
// its input and said again beside it, targets are 24 px and more, text reflows at 400 %, the focus is always visible, colours
// keep their contrast whatever accent the operator chose. They are small (one request, below 15 KB compressed), speak
// Finnish, Swedish and English, and show times in the desk's zone.
//
// What holds for all of them:
//
//   - Nothing of the outside runs: the Content-Security-Policy allows the page's own style by its hash and nothing else.
//   - A GET changes nothing. No cookie is set, nothing is stored in the browser, nothing is cached.
//   - Nobody's text is shown to anybody but its writer: acknowledgements never repeat what was typed (FAULTS 10).
//   - Clients are told apart by the address of the connection. Headers that a client can write itself (X-Forwarded-For,
//     Forwarded, …) are ignored (FAULTS 53); a deployment behind a proxy puts the true address into Request.RemoteAddr.
//   - What cannot be taken just now is shown again, filled in as it was: the customer's words are not lost.
//
// The package knows neither store nor queue. What it needs is in [Deps], as interfaces of one or two methods.
package pages
