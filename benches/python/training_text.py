"""English for training the compression dictionary: questions and answers, built from common phrases.

The words are frequent in conversations with assistants. The benches measure other texts.
"""

from __future__ import annotations

from random import Random
from typing import Final

__all__ = ["answer", "question", "system_prompt"]

_SYSTEM: Final = (
    "You are a helpful assistant. Answer as concisely as possible and use the tools when you need them.",
    "You are a helpful assistant that answers questions about {thing}. If you don't know the answer, say that "
    "you don't know.",
    "Use the following pieces of context to answer the question at the end. If you don't know the answer, "
    "just say that "
    "you don't know, don't try to make up an answer.\n\nContext: {body}\n\nQuestion: ",
    "You are an expert in {thing}. Think step by step, and give your final answer in the form of a JSON "
    "object with the "
    'following keys: "answer", "reason", "confidence". Do not include any other text in your response.',
    "Given the following conversation and a follow up question, rephrase the follow up question to be a standalone "
    "question, in its original language.\n\nChat history:\n{body}\n",
    "Answer the following questions as best you can. You have access to the following tools:\n\nUse the "
    "following format:"
    "\n\nQuestion: the input question you must answer\nThought: you should always think about what to do\nAction: the "
    "action to take\nAction Input: the input to the action\nObservation: the result of the action\n... (this "
    "can repeat "
    "N times)\nThought: I now know the final answer\nFinal Answer: the final answer to the original question\n\nBegin!",
    "Write a concise summary of the following text. Return only the summary.\n\n{body}\n\nCONCISE SUMMARY:",
    "Classify the following message as one of the following categories and explain your reasoning: {thing}, "
    "{thing}, other.",
    "Translate the following text from English to French, German or Spanish. Keep names and numbers as they are.",
)

_QUESTIONS: Final = (
    "What is the difference between {thing} and {thing}?",
    "Can you help me to {act} {thing}? I have already tried to {act} {thing}, but it does not work.",
    "How do I {act} {thing} without having to {act} {thing} every time?",
    "Please write a short {form} about {thing} for {people} who have never heard of it before.",
    "I would like to know why {thing} is so important for {people}, and what would happen without it.",
    "Could you explain {thing} in simple terms, and give me an example or two?",
    "Here is what I have so far:\n\n{body}\n\nWhat should I change to make it better?",
    "Let's think step by step. What are the main advantages and disadvantages of {thing}?",
    "Who was the first to {act} {thing}, when did they do it, and where did they come from?",
    'My customer says: "{sentence}" What should I tell them?',
    "Give me a list of the five most common problems with {thing} and how to solve each of them.",
    "Thank you, that was very helpful. One more question: is it possible to {act} {thing} at the same time?",
)

_SENTENCES: Final = (
    "In general, {thing} is one of the most important things to think about when you want to {act} {thing}.",
    "There are several ways to {act} {thing}, and which of them is the best depends on what {people} need.",
    "First of all, you should make sure that {thing} has been set up in the right way before you {act} it.",
    "If this does not work, you can try to {act} {thing} again, or ask {people} for more information.",
    "However, it is worth noting that {people} often {act} {thing} because they have to, not because they want to.",
    "On the other hand, {thing} can also be used to {act} {thing}, which makes it a good choice for {people}.",
    "For example, {people} might use {thing} to {act} {thing} at the end of each day.",
    "This means that {thing} will not be able to {act} {thing} until all of the other steps have been completed.",
    "As a result, most of the {people} who were there at that time had to {act} {thing} by themselves.",
    "It was not until the end of the nineteenth century that {people} began to {act} {thing} in this way.",
    "The main reason for this is that there are many different kinds of {thing}, each with its own rules.",
    "Although there was little that could be done about {thing}, they were still able to {act} {thing} before "
    "it was too late.",
    "You can find more details about this in the documentation, or by using the search at the top of the page.",
    "He had been looking for {thing} for a long time, and when he found it he did not know what to say.",
    "She told {people} that she would {act} {thing} as soon as possible, but she never did.",
    "They have been working on {thing} for more than three years, and they are now ready to show it to {people}.",
    "I'm sorry, but I can't {act} {thing} for you. What I can do is to explain how it works.",
    "Of course! Here is a short overview of {thing} that {people} should be able to understand.",
    "When the number of {people} is large, it is usually better to {act} {thing} in smaller parts.",
    "Because of this, you should always keep a copy of {thing} in a place where {people} can find it.",
    "The following example shows how to {act} {thing} with the help of {thing}.",
    "According to the report, about a quarter of {people} said that they would rather {act} {thing} than wait.",
    "Please note that the price does not include {thing}, and that it may take up to five working days to arrive.",
    "Once you have finished, take a moment to check whether {thing} looks the way that you expected.",
    "It seems that something went wrong while we were trying to {act} {thing}; the team is already looking into it.",
    "Let me know if you have any other questions, or if you would like me to go into more detail.",
    "I hope this helps! Feel free to ask if anything is still unclear or if you need further assistance.",
    "In the past, {thing} was only available to {people}, but today almost everyone can use it.",
    "Some of these changes were made under the assumption that {thing} would become more expensive over the years.",
    "What is more, the water in the river had risen so high that {people} could not get to the other side.",
    "The two of them walked through the old town, talking about {thing} and what they were going to do next.",
    "You may want to consider whether the cost of {thing} is justified, given how rarely {people} {act} it.",
    "To summarize, {thing} should be treated with care, especially by {people} without much experience.",
    "At first this looked like a simple mistake, but it turned out that {thing} had been missing from the beginning.",
    "Between these two points there is a great deal of {thing}, which nobody has been able to explain so far.",
    "After that, the system will automatically {act} {thing} and send a message to {people}.",
    "Every one of these was chosen with the same question in mind: how would this look from the outside?",
    "No matter which of them you choose, it will take some time before you see a real improvement.",
)

_THINGS: Final = (
    "the weather", "a database", "your account", "the invoice", "machine learning", "the internet",
    "a neural network", "the customer's order", "the second world war", "climate change", "the file system",
    "our new product", "the solar system", "the garden", "public transport", "the settings page",
    "the password", "a good night's sleep", "the capital of the country", "a shopping list",
    "the latest version", "the training data", "a healthy breakfast", "the meeting next Monday", "the contract",
    "artificial intelligence", "the history of music", "the human body", "the server", "a large language model",
    "the request", "the user interface", "a function that returns a list", "the error message",
    "the stock market", "quantum mechanics", "the delivery", "the hotel reservation", "the family",
    "an email to the manager", "the government", "the main character", "their children", "light and energy",
    "the source code", "the results of the experiment", "the budget", "the second chapter", "a cup of tea",
    "the whole system", "social media", "the environment", "the right tool", "the kitchen",
)  # fmt: skip
_PEOPLE: Final = (
    "people", "customers", "users", "students", "beginners", "developers", "the members of the team",
    "most companies", "children", "scientists", "young people", "the public", "your friends", "other countries",
    "the people who live there", "small businesses", "their neighbours", "the authors", "support",
    "the local community", "women and men", "researchers",
)  # fmt: skip
_ACTS: Final = (
    "understand", "change", "improve", "find", "create", "describe", "remove", "test", "develop", "build",
    "compare", "use", "follow", "install", "update", "write about", "look at", "think about", "deal with",
    "keep", "pay for", "take care of", "move", "open", "protect", "replace", "share", "get rid of", "provide",
    "support", "return", "start with", "talk about",
)  # fmt: skip
_FORMS: Final = (
    "story",
    "poem",
    "summary",
    "letter",
    "introduction",
    "article",
    "explanation",
    "description",
    "report",
)


def system_prompt(random: Random) -> str:
    """Instructions for the beginning of a conversation."""
    return _filled(random, random.choice(_SYSTEM))


def question(random: Random) -> str:
    """A question of a person."""
    return _filled(random, random.choice(_QUESTIONS))


def answer(random: Random, length: int) -> str:
    """Paragraphs and lists, about ``length`` characters."""
    blocks: list[str] = []
    while sum(map(len, blocks)) < length:
        if random.random() < 0.2:
            lines = [f"{number}. **{random.choice(_THINGS).title()}**: {_sentence(random)}" for number in range(1, 5)]
            blocks.append("\n".join(lines))
        else:
            blocks.append(" ".join(_sentence(random) for _ in range(random.randint(2, 5))))
    return "\n\n".join(blocks)[:length]


def _sentence(random: Random) -> str:
    return _filled(random, random.choice(_SENTENCES))


def _filled(random: Random, template: str) -> str:
    slots = {"{thing}": _THINGS, "{people}": _PEOPLE, "{act}": _ACTS, "{form}": _FORMS}
    for slot, words in slots.items():
        while slot in template:
            template = template.replace(slot, random.choice(words), 1)
    template = template.replace("{sentence}", _sentence(random)) if "{sentence}" in template else template
    return template.replace("{body}", answer(random, 500)) if "{body}" in template else template
