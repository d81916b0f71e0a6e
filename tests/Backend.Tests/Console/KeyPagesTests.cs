using System.Net;
using Platform.TestSupport;

namespace Platform.Backend.Tests.Console;

public sealed class KeyPagesTests(PostgresServer server) : IAsyncLifetime
{
    private readonly BackendHost _backend = new(server);
    private ConsoleBrowser _browser = null!;

    public async ValueTask InitializeAsync()
    {
        await _backend.InitializeAsync();
        _browser = new(_backend.Client.BaseAddress!);
    }

    public ValueTask DisposeAsync()
    {
        _browser.Dispose();
        return _backend.DisposeAsync();
    }

    [Fact]
    public async Task A_key_is_created_for_a_new_owner_shown_once_used_and_revoked()
    {
        await _browser.OpenAsync("/keys");
        _browser.Text.ShouldContain("No keys yet");
        await _browser.FollowAsync("New key");
        _browser.Type("Name", "Tea robot");
        _browser.Type("Owner", "new");
        _browser.Type("Name of the new owner", "Tea & Co.");
        _browser.Type("Scope", "read");
        _browser.Type("Expires after", "30");
        var today = DateTimeOffset.UtcNow;
        await _browser.PressAsync("Create key");
        var key = _browser.Page.QuerySelector("code.secret")!.TextContent;
        using (var robot = _backend.Connect(key))
            (await robot.GetAsync("/api/shops")).StatusCode.ShouldBe(HttpStatusCode.OK);

        await _browser.FollowAsync("Done");
        _browser.Text.ShouldNotContain(key);
        var row = _browser.Rows("main").ShouldHaveSingleItem();
        row.ShouldStartWith("Tea robot | Tea & Co. | read | just now | ");
        // It may be midnight in between.
        new[] { today, DateTimeOffset.UtcNow }.Select(made => made.AddDays(30).ToString("d MMMM yyyy", System.Globalization.CultureInfo.InvariantCulture))
            .ShouldContain(until => row.Contains(until, StringComparison.Ordinal));

        await _browser.FollowAsync("Revoke");
        _browser.Text.ShouldContain("This can't be undone.");
        await _browser.PressAsync("Revoke key");
        _browser.Text.ShouldContain("The key was revoked");
        _browser.Text.ShouldContain("No keys yet");
        using (var robot = _backend.Connect(key))
            (await robot.GetAsync("/api/shops")).StatusCode.ShouldBe(HttpStatusCode.Unauthorized);
    }

    [Fact]
    public async Task Errors_in_the_key_form_are_shown_beside_the_fields_and_the_input_is_kept()
    {
        await _browser.OpenAsync("/keys/new");
        _browser.Type("Name", "   ");
        _browser.Type("Owner", "new");
        _browser.Type("Scope", "admin");
        await _browser.PressAsync("Create key", expected: HttpStatusCode.BadRequest);

        _browser.ErrorOf("Name").ShouldNotBeNull();
        _browser.ErrorOf("Name of the new owner").ShouldNotBeNull();
        _browser.Value("Scope").ShouldBe("admin");
        _browser.Value("Owner").ShouldBe("new");
    }

    [Fact]
    public async Task An_owner_is_created_and_given_a_key()
    {
        await _browser.OpenAsync("/owners");
        _browser.Rows("main").ShouldHaveSingleItem().ShouldStartWith("administrator | Keys | 0 | 0");
        _browser.Type("Name", " ");
        await _browser.PressAsync("Create owner", expected: HttpStatusCode.BadRequest);
        _browser.ErrorOf("Name").ShouldNotBeNull();

        _browser.Type("Name", "Bakery");
        await _browser.PressAsync("Create owner");
        _browser.Text.ShouldContain("The owner was created.");
        await _browser.FollowAsync("New key");
        ConsoleBrowser.TextOf(_browser.Page.QuerySelector("#field-ownerId option[selected]")!).ShouldBe("Bakery");
        _browser.Type("Name", "Baker");
        await _browser.PressAsync("Create key");
        await _browser.OpenAsync("/owners");
        _browser.Rows("main").First().ShouldStartWith("Bakery | Keys | 0 | 1");
    }

    [Fact]
    public async Task Users_without_the_admin_scope_are_told_which_scope_is_missing()
    {
        using var reader = new ConsoleBrowser(_backend.Client.BaseAddress!, (string)(await _backend.MakeKeyAsync("read"))["key"]!);
        await reader.OpenAsync("/keys", HttpStatusCode.Forbidden);
        reader.Text.ShouldContain("You don't have access");
        reader.Text.ShouldContain("'admin'");
    }
}
