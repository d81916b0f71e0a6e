using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Platform.ServiceDefaults.Correlation;
using Platform.TestSupport;

namespace Platform.ServiceDefaults.Tests.Correlation;

public sealed class CorrelationTests : IAsyncLifetime
{
    private TestApp _app = null!;

    public async ValueTask InitializeAsync() => _app = await DefaultsApp.StartAsync(app =>
        app.MapGet("/", () => CorrelationContext.Current));

    public ValueTask DisposeAsync() => _app.DisposeAsync();

    [Fact]
    public async Task A_valid_id_is_taken_and_returned()
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, "/");
        request.Headers.Add("X-Correlation-ID", "order-42_a.b:c");
        using var response = await _app.Client.SendAsync(request);
        response.Headers.GetValues("X-Correlation-ID").ShouldBe(["order-42_a.b:c"]);
        (await response.Content.ReadAsStringAsync()).ShouldBe("order-42_a.b:c");
    }

    [Theory]
    [InlineData(null)]
    [InlineData("with space")]
    [InlineData("<script>")]
    [InlineData("a,b")]
    [InlineData("129")]
    public async Task Any_other_is_replaced(string? id)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, "/");
        if (id is not null)
        {
            request.Headers.TryAddWithoutValidation("X-Correlation-ID", id == "129" ? new string('a', 129) : id);
        }

        using var response = await _app.Client.SendAsync(request);
        var given = response.Headers.GetValues("X-Correlation-ID").Single();
        Guid.TryParseExact(given, "n", out _).ShouldBeTrue();
        (await response.Content.ReadAsStringAsync()).ShouldBe(given);
    }

    [Fact]
    public void The_id_of_a_job_ends_with_it()
    {
        using (CorrelationContext.Begin("outer"))
        {
            using (CorrelationContext.Begin("inner"))
            {
                CorrelationContext.Current.ShouldBe("inner");
            }

            CorrelationContext.Current.ShouldBe("outer");
        }

        CorrelationContext.Current.ShouldBeNull();
    }
}
