using System.Net;
using AngleSharp.Dom;
using AngleSharp.Html.Dom;
using AngleSharp.Html.Parser;

namespace Platform.Backend.Tests.Console;

/// <summary>
/// A browser without JavaScript, signed in with a key: it opens pages, fills in labelled fields and presses buttons. Every page that it opens
/// is checked for labels, landmarks, unique ids, and anything that the Content-Security-Policy would block.
/// </summary>
internal sealed class ConsoleBrowser : IDisposable
{
    private readonly HttpClient _http;
    private readonly HtmlParser _parser = new();
    private string? _key;

    /// <param name="address">The console.</param>
    /// <param name="key">Signs in with this key before opening the first page; null to stay signed out.</param>
    public ConsoleBrowser(Uri address, string? key = BackendHost.AdminKey)
    {
        _key = key;
        _http = new HttpClient(new SocketsHttpHandler { AllowAutoRedirect = false, CookieContainer = Cookies }) { BaseAddress = address };
        _http.DefaultRequestHeaders.Accept.ParseAdd("text/html,application/xhtml+xml,*/*;q=0.8");
        _http.DefaultRequestHeaders.Add("Sec-Fetch-Site", "same-origin");
        Address = address;
    }

    public CookieContainer Cookies { get; } = new();

    public IHtmlDocument Page { get; private set; } = null!;

    /// <summary>The address after all redirects.</summary>
    public Uri Address { get; private set; }

    public HttpStatusCode Status { get; private set; }

    public string Text => Page.Body!.TextContent;

    public string Title => Page.Title!;

    /// <summary>Seconds between refreshes of the open page; null when it does not refresh.</summary>
    public string? Refresh => Page.GetElementById("refresh")?.GetAttribute("data-seconds");

    public async Task OpenAsync(string path, HttpStatusCode expected = HttpStatusCode.OK)
    {
        if (_key is { } key)
        {
            _key = null;
            await SignInAsync(key);
        }

        await SendAsync(HttpMethod.Get, new Uri(Address, path), null, expected);
    }

    public async Task SignInAsync(string key, HttpStatusCode expected = HttpStatusCode.OK)
    {
        await OpenAsync("/sign-in");
        Type("Key", key);
        await PressAsync("Sign in", expected: expected);
    }

    /// <summary>Opens the link with this text.</summary>
    public Task FollowAsync(string text) => OpenAsync(Link(text).GetAttribute("href")!);

    public IElement Link(string text) => Page.QuerySelectorAll("a").First(link => TextOf(link).StartsWith(text, StringComparison.Ordinal));

    /// <summary>The control with this label.</summary>
    public IElement Field(string label, int occurrence = 0)
    {
        var found = Page.QuerySelectorAll("label").Where(each => TextOf(each) == label || TextOf(each) == $"{label} (optional)").ToList();
        found.Count.ShouldBeGreaterThan(occurrence, $"There is no field '{label}' on {Address}.");
        return Page.GetElementById(found[occurrence].GetAttribute("for")!)!;
    }

    public string Value(string label, int occurrence = 0) => Field(label, occurrence) switch
    {
        IHtmlTextAreaElement area => area.Value,
        IHtmlSelectElement select => select.Value!,
        var input => ((IHtmlInputElement)input).Value,
    };

    /// <summary>The error beside the control with this label, or null.</summary>
    public string? ErrorOf(string label, int occurrence = 0) =>
        Field(label, occurrence).GetAttribute("aria-describedby")?.Split(' ')
            .Select(id => Page.GetElementById(id)!)
            .Where(element => element.ClassList.Contains("error"))
            .Select(TextOf).FirstOrDefault();

    public void Type(string label, string value, int occurrence = 0)
    {
        switch (Field(label, occurrence))
        {
            case IHtmlTextAreaElement area:
                area.Value = value;
                break;
            case IHtmlSelectElement select:
                select.Value = value;
                break;
            case IHtmlInputElement { Type: "checkbox" } box:
                box.IsChecked = value == "true";
                break;
            case var input:
                ((IHtmlInputElement)input).Value = value;
                break;
        }
    }

    public Task PressAsync(string button, int occurrence = 0, HttpStatusCode expected = HttpStatusCode.OK) => SendAsync(FormOf(button, occurrence), expected);

    public bool HasButton(string text) => Buttons(text).Any();

    /// <summary>The form that a button submits, which a test can send any number of times.</summary>
    public (Uri Action, IReadOnlyList<KeyValuePair<string, string>> Fields) FormOf(string text, int occurrence = 0)
    {
        var button = Buttons(text).Skip(occurrence).First();
        var form = (IHtmlFormElement)button.Closest("form")!;
        form.GetAttribute("method").ShouldBe("post");
        var fields = new List<KeyValuePair<string, string>>();
        foreach (var element in form.QuerySelectorAll("input, select, textarea, button").Where(element => !string.IsNullOrEmpty(element.GetAttribute("name"))))
        {
            var value = element switch
            {
                IHtmlButtonElement => element == button ? element.GetAttribute("value") : null,
                IHtmlInputElement { Type: "checkbox" } box => box.IsChecked ? box.Value : null,
                IHtmlInputElement input => input.Value,
                IHtmlTextAreaElement area => area.Value.ReplaceLineEndings("\r\n"),
                IHtmlSelectElement select => select.Value,
                _ => null,
            };
            if (value is not null)
                fields.Add(new(element.GetAttribute("name")!, value));
        }

        return (new Uri(Address, button.GetAttribute("formaction") ?? form.GetAttribute("action") ?? ""), fields);
    }

    /// <summary>A form that is on no page, with the antiforgery token of the open page.</summary>
    public (Uri Action, IReadOnlyList<KeyValuePair<string, string>> Fields) FormTo(Uri action, params IReadOnlyList<KeyValuePair<string, string>> fields) =>
        (action, [.. fields, new("__RequestVerificationToken", Page.QuerySelector("input[name=__RequestVerificationToken]")!.GetAttribute("value")!)]);

    public Task SendAsync((Uri Action, IReadOnlyList<KeyValuePair<string, string>> Fields) form, HttpStatusCode expected = HttpStatusCode.OK) =>
        SendAsync(HttpMethod.Post, form.Action, form.Fields, expected);

    /// <summary>Sends a form and returns the response without following redirects.</summary>
    public async Task<HttpResponseMessage> PostAsync((Uri Action, IReadOnlyList<KeyValuePair<string, string>> Fields) form, Action<HttpRequestMessage>? change = null)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, form.Action) { Content = new FormUrlEncodedContent(form.Fields) };
        change?.Invoke(request);
        return await _http.SendAsync(request);
    }

    public void Dispose() => _http.Dispose();

    /// <summary>The text with white space collapsed.</summary>
    public static string TextOf(IElement element) => string.Join(' ', element.TextContent.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries));

    /// <summary>The table rows inside an element, with cells separated by " | ".</summary>
    public IEnumerable<string> Rows(string inside) => Page.QuerySelectorAll($"{inside} tbody tr").Select(row => string.Join(" | ", row.Children.Select(TextOf)));

    private IEnumerable<IHtmlButtonElement> Buttons(string text) =>
        Page.QuerySelectorAll<IHtmlButtonElement>("button").Where(each => each.GetAttribute("aria-hidden") is null && TextOf(each) == text);

    private async Task SendAsync(HttpMethod method, Uri address, IReadOnlyList<KeyValuePair<string, string>>? fields, HttpStatusCode expected)
    {
        for (var redirects = 0; redirects < 5; redirects++)
        {
            using var request = new HttpRequestMessage(method, address) { Content = fields is null ? null : new FormUrlEncodedContent(fields) };
            using var response = await _http.SendAsync(request);
            if (response.StatusCode is HttpStatusCode.SeeOther or HttpStatusCode.Redirect)
            {
                (method, address, fields) = (HttpMethod.Get, new Uri(address, response.Headers.Location!), null);
                continue;
            }

            var html = await response.Content.ReadAsStringAsync();
            response.StatusCode.ShouldBe(expected, html);
            response.Content.Headers.ContentType!.ToString().ShouldBe("text/html; charset=utf-8");
            (Status, Address) = (response.StatusCode, address);
            Page = await _parser.ParseDocumentAsync(html);
            CheckPage(response);
            return;
        }

        throw new InvalidOperationException($"{address} redirects endlessly.");
    }

    private void CheckPage(HttpResponseMessage response)
    {
        var policy = response.Headers.GetValues("Content-Security-Policy").ShouldHaveSingleItem();
        policy.ShouldContain("default-src 'none'");
        policy.ShouldContain("frame-ancestors 'none'");
        response.Headers.GetValues("X-Content-Type-Options").ShouldBe(["nosniff"]);
        response.Headers.CacheControl!.NoStore.ShouldBeTrue();

        Page.DocumentElement.GetAttribute("lang").ShouldBe("en");
        Title.ShouldEndWith(" · Platform");
        foreach (var landmark in (string[])["header", "nav", "main", "footer", "h1"])
            Page.QuerySelectorAll(landmark).ShouldNotBeEmpty($"{Address} has no {landmark}.");
        Page.QuerySelectorAll("main").Length.ShouldBe(1);
        Page.QuerySelectorAll("h1").Length.ShouldBe(1);

        Page.QuerySelectorAll("script:not([src]), style, iframe, object, base, [style]").ShouldBeEmpty("The Content-Security-Policy would block it.");
        Page.QuerySelectorAll("meta[http-equiv]").ShouldBeEmpty("Readers can't stop a page that reloads itself.");
        (Page.QuerySelectorAll("script").Length == 1).ShouldBe(Refresh is not null);
        Page.All.SelectMany(element => element.Attributes).Where(attribute => attribute.Name.StartsWith("on", StringComparison.Ordinal)).ShouldBeEmpty();
        Page.QuerySelectorAll("link[href], script[src], img[src], source[src]").Select(element => element.GetAttribute("href") ?? element.GetAttribute("src"))
            .ShouldAllBe(address => address!.StartsWith('/'));

        var ids = Page.QuerySelectorAll("[id]").Select(element => element.Id!).ToList();
        ids.ShouldBeUnique();
        foreach (var attribute in (string[])["aria-describedby", "aria-labelledby", "for", "list"])
            Page.QuerySelectorAll($"[{attribute}]").SelectMany(element => element.GetAttribute(attribute)!.Split(' ')).ShouldAllBe(id => ids.Contains(id));
        Page.QuerySelectorAll("a[href^='#']").ShouldAllBe(link => ids.Contains(link.GetAttribute("href")!.Substring(1)));

        var labelled = Page.QuerySelectorAll("label").Select(label => label.GetAttribute("for")).ToHashSet();
        Page.QuerySelectorAll("input:not([type=hidden]), select, textarea").ShouldAllBe(control => labelled.Contains(control.Id));
        Page.QuerySelectorAll("button, a").ShouldAllBe(element => TextOf(element).Length > 0);
    }
}
