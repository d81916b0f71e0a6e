using Microsoft.AspNetCore.Antiforgery;
using Platform.Backend.Console.Components;
using Platform.ServiceDefaults;
using Platform.ServiceDefaults.Problems;

namespace Platform.Backend.Console;

/// <summary>
/// Applies to every form of the console: it must come from a page of the console that was rendered for the same session, and its hidden
/// idempotency key makes it take effect once, however often the button is pressed.
/// </summary>
internal sealed class ConsoleForms : IEndpointMiddleware
{
    private static readonly TimeSpan FirstSubmissionTimeout = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan PollInterval = TimeSpan.FromMilliseconds(100);

    public async Task InvokeAsync(HttpContext context, RequestDelegate next)
    {
        var request = context.Request;
        if (!IsSameOrigin(request))
        {
            await Problem.Forbidden("This form was submitted from another site. Open the page in the console and submit it there.").ExecuteAsync(context);
            return;
        }

        if (!request.HasFormContentType)
        {
            await Problem.UnsupportedMediaType("The console accepts forms only. Programs use /api.").ExecuteAsync(context);
            return;
        }

        // The body is read twice: here, and for the fingerprint that is stored with the idempotency key.
        request.EnableBuffering();
        IFormCollection form;
        try
        {
            form = await request.ReadFormAsync(context.RequestAborted);
        }
        catch (InvalidDataException exception)
        {
            await Problem.BadRequest($"The form could not be read: {exception.Message}").ExecuteAsync(context);
            return;
        }

        request.Body.Position = 0;
        if (!await context.RequestServices.GetRequiredService<IAntiforgery>().IsRequestValidAsync(context))
        {
            await Problem.Forbidden("This form belongs to another session or has expired. Open the page again and submit it there.").ExecuteAsync(context);
            return;
        }

        // Buttons that only rearrange the form change nothing, so they need no key.
        if (form[FormKey.FieldName] is [{ Length: > 0 } key] && form["action"] is [] or ["save"])
            request.Headers["Idempotency-Key"] = key;
        await AnswerAsync(context, next);
    }

    /// <summary>
    /// Browsers state a request's origin in headers that pages can't forge. Old browsers that send neither header are still checked by the
    /// antiforgery token.
    /// </summary>
    private static bool IsSameOrigin(HttpRequest request)
    {
        if (request.Headers["Sec-Fetch-Site"] is [{ } site])
            return site is "same-origin" or "none";
        if (request.Headers.Origin is [{ } origin])
            return Uri.TryCreate(origin, UriKind.Absolute, out var uri) && string.Equals(uri.Authority, request.Host.Value, StringComparison.OrdinalIgnoreCase);
        return true;
    }

    /// <summary>
    /// The operations behind the forms respond as the API does. A success, replayed or not, becomes a redirect to the page that shows it. A
    /// second submission waits while the first one is in progress.
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
            while (IsInProgress(context.Response) && time.GetElapsedTime(began) < FirstSubmissionTimeout)
            {
                await Task.Delay(PollInterval, time, context.RequestAborted);
                Clear(context.Response);
                await next(context);
            }

            if (IsFromApi(context.Response))
            {
                var page = context.GetEndpoint()!.Metadata.GetRequiredMetadata<LeadsToPage>()(context);
                Clear(context.Response);
                await new SeeOther(page).ExecuteAsync(context);
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

/// <summary>The page to redirect to after a form succeeded.</summary>
internal delegate string LeadsToPage(HttpContext context);
