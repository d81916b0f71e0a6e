using System.Net;
using System.Net.Sockets;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Platform.ServiceDefaults.Communication;
using Platform.TestSupport;

namespace Platform.ServiceDefaults.Tests;

public sealed class HeadAndOptionsTests
{
    [Fact]
    public async Task Every_endpoint_answers_HEAD_OPTIONS_and_compressed_bodies_as_HTTP_asks()
    {
        await using var app = await DefaultsApp.StartAsync(app =>
        {
            app.MapGet("/things", () => TypedResults.Ok(new { Name = "thing" }));
            app.MapPost("/things", (Thing thing) => thing);
            app.MapGet("/things/{id}", (string id) => TypedResults.Text(id));
            app.MapDelete("/things/{id}", (string id) => TypedResults.NoContent());
        });
        (await HttpManners.FindViolationsAsync(app.Services, app.Client, new Dictionary<string, string> { ["id"] = "1", ["documentName"] = "v1" })).ShouldBeEmpty();
    }

    [Fact]
    public async Task HEAD_has_the_length_of_the_body_that_GET_would_have_and_no_body_on_the_wire()
    {
        await using var app = await DefaultsApp.StartAsync(app => app.MapGet("/text", (HttpContext context) => TypedResults.Text($"{context.Request.Method}-text")));
        using var socket = new TcpClient();
        await socket.ConnectAsync(app.Address.Host, app.Address.Port);
        await socket.GetStream().WriteAsync("HEAD /text HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"u8.ToArray());
        using var reader = new StreamReader(socket.GetStream(), Encoding.ASCII);
        var response = await reader.ReadToEndAsync();
        response.ShouldStartWith("HTTP/1.1 200 ");
        // The handler saw HEAD, not GET.
        response.ShouldContain($"Content-Length: {"HEAD-text".Length}\r\n");
        response.ShouldEndWith("\r\n\r\n");
    }

    [Fact]
    public async Task HEAD_of_a_stream_ends_with_the_headers()
    {
        var ended = new TaskCompletionSource();
        await using var app = await DefaultsApp.StartAsync(app => app.MapGet("/events", async (HttpContext context) =>
        {
            try
            {
                context.Response.ContentType = "text/event-stream";
                await context.Response.Body.FlushAsync(context.RequestAborted);
                await Task.Delay(Timeout.InfiniteTimeSpan, context.RequestAborted);
            }
            finally
            {
                ended.SetResult();
            }
        }).DisableRequestTimeout().WithStreamingResponse());
        using var request = new HttpRequestMessage(HttpMethod.Head, "/events");
        using var response = await app.Client.SendAsync(request);
        response.StatusCode.ShouldBe(HttpStatusCode.OK);
        response.Content.Headers.ContentType!.MediaType.ShouldBe("text/event-stream");
        await ended.Task.WaitAsync(TimeSpan.FromSeconds(60));
    }

    [Fact]
    public async Task HEAD_where_there_is_no_GET_is_405_and_an_unknown_path_is_404_for_every_method()
    {
        await using var app = await DefaultsApp.StartAsync(app => app.MapPost("/things", () => "made"));
        foreach (var (method, path, status) in (ReadOnlySpan<(string, string, HttpStatusCode)>)[
            ("HEAD", "/things", HttpStatusCode.MethodNotAllowed), ("HEAD", "/nowhere", HttpStatusCode.NotFound), ("OPTIONS", "/nowhere", HttpStatusCode.NotFound)])
        {
            using var request = new HttpRequestMessage(new(method), path);
            using var response = app.Client.Send(request);
            response.StatusCode.ShouldBe(status, $"{method} {path}");
            if (status == HttpStatusCode.MethodNotAllowed)
                response.Content.Headers.Allow.ShouldBe(["OPTIONS", "POST"]);
        }
    }

    [Theory]
    [InlineData("gzip")]
    [InlineData("GZIP")]
    [InlineData("gzip, br")]
    [InlineData("identity, gzip")]
    public async Task A_compressed_body_is_refused_unread_with_415(string encoding)
    {
        await using var app = await DefaultsApp.StartAsync(app => app.MapPost("/things", (Thing thing) => thing));
        using var request = new HttpRequestMessage(HttpMethod.Post, "/things") { Content = DefaultsApp.Json("""{"name":"a"}""") };
        request.Content.Headers.TryAddWithoutValidation("Content-Encoding", encoding);
        using var response = await app.Client.SendAsync(request);
        response.StatusCode.ShouldBe(HttpStatusCode.UnsupportedMediaType);
        response.Headers.GetValues("Accept-Encoding").ShouldBe(["identity"]);
        await response.ReadProblemAsync();
    }

    [Fact]
    public async Task An_identity_encoded_body_and_a_GET_with_a_Content_Encoding_but_no_body_are_taken()
    {
        await using var app = await DefaultsApp.StartAsync(app =>
        {
            app.MapPost("/things", (Thing thing) => thing);
            app.MapGet("/things", () => "things");
        });
        using var content = DefaultsApp.Json("""{"name":"a"}""");
        content.Headers.Add("Content-Encoding", "identity");
        (await app.Client.PostAsync("/things", content)).StatusCode.ShouldBe(HttpStatusCode.OK);
        using var get = new HttpRequestMessage(HttpMethod.Get, "/things") { Content = new ByteArrayContent([]) { Headers = { { "Content-Encoding", "gzip" } } } };
        (await app.Client.SendAsync(get)).StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    private sealed record Thing(string Name);
}
