using Microsoft.AspNetCore.Antiforgery;
using Platform.Backend.Console.Components;
using Platform.ServiceDefaults;
using Platform.ServiceDefaults.Problems;

namespace Platform.Backend.Console;

/// <summary>
/// What holds for every form of the console: it must come from a page of the console that was made for the one who sends it, and its hidden key makes its effect happen
/// once, however often the button is pressed.
/// </summary>
internal sealed class ConsoleForms : IEndpointMiddleware
{
    private static readonly TimeSpan PatienceWithFirst = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan AskEvery = TimeSpan.FromMilliseconds(100);

    public async Task InvokeAsync(HttpContext context, RequestDelegate next)
    {
        var request = context.Request;
        if (!IsFromHere(request))
        {
            await Problem.Forbidden("The form was sent by another site. Open the page in the console and send it from there.").ExecuteAsync(context);
            return;
        }

        if (!request.HasFormContentType)
        {
            await Problem.UnsupportedMediaType("The console takes forms; programs use /api.").ExecuteAsync(context);
            return;
        }

        // read twice: here, and for the fingerprint that belongs to the key
        request.EnableBuffering();
        IFormCollection form;
        try
        {
            form = await request.ReadFormAsync(context.RequestAborted);
        }
        catch (InvalidDataException exception)
        {
            await Problem.BadRequest($"The form cannot be read: {exception.Message}").ExecuteAsync(context);
            return;
        }

        request.Body.Position = 0;
        if (!await context.RequestServices.GetRequiredService<IAntiforgery>().IsRequestValidAsync(context))
        {
            await Problem.Forbidden("The form belongs to another session, or was opened long ago. Open the page again and send it from there.").ExecuteAsync(context);
            return;
        }

        // a button that only rearranges the form has no effect that could happen twice
        if (form[FormKey.FieldName] is [{ Length: > 0 } key] && form["action"] is [] or ["save"])
            request.Headers["Idempotency-Key"] = key;
        await AnswerAsync(context, next);
    }

    /// <summary>
    /// Browsers say where a request comes from, in a header that pages cannot forge: who says "another site" is told so. Who says nothing, as old browsers do, has the
    /// form's token yet to show.
    /// </summary>
    private static bool IsFromHere(HttpRequest request)
    {
        if (request.Headers["Sec-Fetch-Site"] is [{ } site])
            return site is "same-origin" or "none";
        if (request.Headers.Origin is [{ } origin])
            return Uri.TryCreate(origin, UriKind.Absolute, out var uri) && string.Equals(uri.Authority, request.Host.Value, StringComparison.OrdinalIgnoreCase);
        return true;
    }

    /// <summary>
    /// The operations behind the forms answer as the API does. A success, also one that is given again because the button was pressed twice, becomes the
    /// page that it leads to; a second press waits while the first is still going on.
    /// </summary>
    private static async Task AnswerAsync(HttpContext context, RequestDelegate next)
    {
        var time = context.RequestServices.GetRequiredService<TimeProvider>();
        var began = time.GetTimestamp();
        var client = context.Response.Body;
        using var answer = new MemoryStream();
        context.Response.Body = answer;
        try
        {
            await next(context);
            while (IsInProgress(context.Response) && time.GetElapsedTime(began) < PatienceWithFirst)
            {
                await Task.Delay(AskEvery, time, context.RequestAborted);
                Clear(context.Response);
                await next(context);
            }

            if (IsFromApi(context.Response))
            {
                var page = context.GetEndpoint()!.Metadata.GetRequiredMetadata<LeadsToPage>().Of(context);
                Clear(context.Response);
                context.Response.StatusCode = StatusCodes.Status303SeeOther;
                context.Response.Headers.Location = page;
            }
        }
        finally
        {
            context.Response.Body = client;
        }

        answer.Position = 0;
        await answer.CopyToAsync(client, context.RequestAborted);
    }

    private static void Clear(HttpResponse response)
    {
        response.Clear();
        ConsolePages.Protect(response);
    }

    private static bool IsInProgress(HttpResponse response) =>
        response.StatusCode == StatusCodes.Status409Conflict && response.Headers.RetryAfter.Count > 0;

    private static bool IsFromApi(HttpResponse response) =>
        response.StatusCode is >= 200 and < 300 && response.ContentType?.StartsWith("application/json", StringComparison.OrdinalIgnoreCase) == true;
}

/// <summary>Which page shows what a form did.</summary>
internal sealed record LeadsToPage(Func<HttpContext, string> Of);

internal static class LeadsToExtensions
{
    /// <summary>Says which page shows what the form did; the operation's answer is on the response by then.</summary>
    public static void LeadsTo(this RouteHandlerBuilder form, Func<HttpContext, string> page) => form.WithMetadata(new LeadsToPage(page));
}
